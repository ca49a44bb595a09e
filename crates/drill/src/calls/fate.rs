// SPDX-License-Identifier: Apache-2.0
//! What is to become of a call. It stands in the number called, so that the vendor's side knows it too.

use serde::Serialize;

use crate::random::Random;

/// What caller and vendor do in a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// Answered; the caller hangs up.
    CallerHangsUp,
    /// Answered; the callee hangs up.
    CalleeHangsUp,
    /// 486.
    Busy,
    /// 603.
    Declined,
    /// The first attempt gets 503, the next one is answered.
    FailsOver,
    /// Rings until the caller gives up.
    CancelledRinging,
    /// The vendor only says 100 until the caller gives up.
    CancelledTrying,
    /// The vendor says nothing at all.
    Silent,
    /// The vendor answers, then falls silent for ever.
    Crashes,
}

impl Fate {
    /// All of them; the place of each is its digit.
    pub const ALL: [Self; 9] = [
        Self::CallerHangsUp,
        Self::CalleeHangsUp,
        Self::Busy,
        Self::Declined,
        Self::FailsOver,
        Self::CancelledRinging,
        Self::CancelledTrying,
        Self::Silent,
        Self::Crashes,
    ];

    /// Its name, as in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::CallerHangsUp => "caller_hangs_up",
            Self::CalleeHangsUp => "callee_hangs_up",
            Self::Busy => "busy",
            Self::Declined => "declined",
            Self::FailsOver => "fails_over",
            Self::CancelledRinging => "cancelled_ringing",
            Self::CancelledTrying => "cancelled_trying",
            Self::Silent => "silent",
            Self::Crashes => "crashes",
        }
    }

    /// Whether the call is to be answered.
    pub fn is_answered(self) -> bool {
        matches!(self, Self::CallerHangsUp | Self::CalleeHangsUp | Self::FailsOver | Self::Crashes)
    }

    /// Whether the caller gives up before an answer.
    pub fn is_cancelled(self) -> bool {
        matches!(self, Self::CancelledRinging | Self::CancelledTrying)
    }
}

/// Shares of the fates; only their ratios matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fates([u32; Fate::ALL.len()]);

impl Fates {
    /// Each call is answered, and the caller hangs up.
    pub const ANSWERED: Self = Self([1, 0, 0, 0, 0, 0, 0, 0, 0]);

    /// Reads `caller_hangs_up=90,busy=10`; None names what cannot be read.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut shares = [0; Fate::ALL.len()];
        for part in text.split(',') {
            let (name, share) = part.split_once('=').unwrap_or((part, "1"));
            let place = Fate::ALL.iter().position(|fate| fate.name() == name).ok_or_else(|| part.to_owned())?;
            shares[place] = share.parse().map_err(|_| part.to_owned())?;
        }
        if shares.iter().all(|&share| share == 0) {
            return Err(text.to_owned());
        }
        Ok(Self(shares))
    }

    /// The fate of call `number` in the run with this seed.
    pub fn of(&self, seed: u64, number: u32) -> Fate {
        let total: u32 = self.0.iter().sum();
        let mut drawn = Random::of_request(seed ^ FATE_STREAM, number.into()).below(total);
        for (fate, &share) in Fate::ALL.into_iter().zip(&self.0) {
            if drawn < share {
                return fate;
            }
            drawn -= share;
        }
        Fate::CallerHangsUp
    }
}

const FATE_STREAM: u64 = 0x4641_5445_4641_5445;
const NUMBER_DIGITS: usize = 9;

/// The number called: a prefix, the digit of the fate, the number of the call.
pub(super) fn callee(prefix: &str, fate: Fate, number: u32) -> String {
    format!("{prefix}{}{number:09}", fate as u8)
}

/// Fate and number of the call with this callee, whatever stands before them.
pub(super) fn of_callee(callee: &[u8]) -> Option<(Fate, u32)> {
    let digits = callee.get(callee.len().checked_sub(NUMBER_DIGITS + 1)?..)?;
    let (&fate, number) = digits.split_first()?;
    let fate = *Fate::ALL.get(usize::from(fate.checked_sub(b'0')?))?;
    let number = number.iter().try_fold(0u32, |sum, &c| c.is_ascii_digit().then(|| sum * 10 + u32::from(c - b'0')))?;
    Some((fate, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callee_tells_the_fate_and_the_number_of_its_call() {
        for fate in Fate::ALL {
            for number in [0, 7, 999_999_999] {
                assert_eq!(of_callee(callee("44", fate, number).as_bytes()), Some((fate, number)));
            }
        }
        for other in ["", "4420", "44x000000001", "449000000001", "44000000000x"] {
            assert_eq!(of_callee(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn fates_come_in_their_shares() {
        let fates = Fates::parse("caller_hangs_up=3,busy=1").unwrap();
        let busy = (0..10_000).filter(|&number| fates.of(1, number) == Fate::Busy).count();
        assert!((2_300..2_700).contains(&busy), "{busy}");
        for wrong in ["", "busyness", "busy=x", "busy=0"] {
            assert!(Fates::parse(wrong).is_err(), "{wrong}");
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
//! What can go wrong in a drill.

use std::io;

/// Errors of the load sender and the reference answerer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DrillError {
    /// The address is not one of this machine's own loopback addresses.
    #[error("{0} is not a loopback address: a drill may only aim at 127.0.0.0/8 or ::1")]
    NotLoopback(String),
    /// The text is not an address with a port.
    #[error("{0:?} is not a numeric address with a port, such as 127.0.0.1:5060")]
    BadAddress(String),
    /// An option lies outside its range.
    #[error("{name} must be {range}, not {value}")]
    OutOfRange {
        /// The option.
        name: &'static str,
        /// What is allowed, in words.
        range: &'static str,
        /// What was given.
        value: String,
    },
    /// An option that does not exist, or one without its value.
    #[error("{0}")]
    Usage(String),
    /// The kernel refused something.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
}

impl DrillError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NotLoopback(_) => "aim at a switch on this machine, by 127.0.0.1 or ::1",
            Self::BadAddress(_) => "write it as 127.0.0.1:5060 or [::1]:5060",
            Self::OutOfRange { .. } => "give a value in that range",
            Self::Usage(_) => "see the help of the command",
            Self::Io { .. } => "check the limits that this process runs under",
        }
    }

    pub(crate) fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }
}

/// Checks that `value` lies in `low..=high`.
pub(crate) fn in_range<T: PartialOrd + std::fmt::Display>(
    name: &'static str,
    range: &'static str,
    value: &T,
    low: &T,
    high: &T,
) -> Result<(), DrillError> {
    if value >= low && value <= high {
        Ok(())
    } else {
        Err(DrillError::OutOfRange { name, range, value: value.to_string() })
    }
}

// SPDX-License-Identifier: Apache-2.0
//! The kernel's steering filter: packets from gateways' networks, and from where calls go to, come through the known sources' socket,
//! those from addresses where phones are registered through the phones', all others through strangers'.
//!
//! A classic BPF program on the `SO_REUSEPORT` group returns the number of the socket. It searches the sorted
//! boundaries of these networks, so its run time grows with their logarithm. A program holds 4,096 instructions; where the
//! networks do not fit, neighbouring ones are merged: a stranger let into the known queue that way is judged like any other.

use std::net::IpAddr;

use ipnet::IpNet;

/// One classic BPF instruction (`struct sock_filter`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    /// Operation.
    pub code: u16,
    /// Jump if true.
    pub jt: u8,
    /// Jump if false.
    pub jf: u8,
    /// Operand.
    pub k: u32,
}

/// Socket number of strangers in the group.
pub const STRANGERS: u32 = 0;
/// Socket number of known sources in the group.
pub const KNOWN: u32 = 1;
/// Socket number of phones in the group.
pub const PHONES: u32 = 2;

/// The kernel's limit (`BPF_MAXINSNS`).
pub const MAX_INSTRUCTIONS: usize = 4096;

const LOAD_WORD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
const JUMP_GREATER_OR_EQUAL: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_GREATER: u16 = 0x25; // BPF_JMP | BPF_JGT | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K
/// Loads at this offset start at the network header (`SKF_NET_OFF`).
const NET_OFF: u32 = (-0x10_0000_i32).cast_unsigned();
const IPV4_SOURCE: u32 = NET_OFF + 12;
const IPV6_SOURCE: u32 = NET_OFF + 8;

/// Most ranges that surely fit: an IPv4 range costs two nodes of three instructions and two leaves, an IPv6 one six-instruction nodes.
const MAX_IPV4_RANGES: usize = 500;
const MAX_IPV6_RANGES: usize = 250;

/// The filter for a socket group of one address family. Of `phones` only those are steered that there is room for beside `known`, none of
/// them by a network that is wider than its address (of IPv6 a /64).
pub fn filter(known: &[IpNet], phones: &[IpAddr], is_ipv6: bool) -> Vec<Instruction> {
    let most = if is_ipv6 { MAX_IPV6_RANGES } else { MAX_IPV4_RANGES };
    let ranges = merge(known.iter().filter_map(|net| range(*net, is_ipv6)).collect(), most);
    let mut phones: Vec<u64> = phones
        .iter()
        .filter_map(|ip| range(IpNet::from(*ip), is_ipv6))
        .map(|(first, _)| first)
        .filter(|ip| !ranges.iter().any(|(first, last)| first <= ip && ip <= last))
        .collect();
    phones.sort_unstable();
    phones.dedup();
    phones.truncate(most.saturating_sub(ranges.len()));
    let mut steered: Vec<(u64, u64, u32)> = ranges.into_iter().map(|(first, last)| (first, last, KNOWN)).collect();
    steered.extend(phones.into_iter().map(|ip| (ip, ip, PHONES)));
    steered.sort_unstable();
    // From each boundary on, which socket: strangers up to the first range, its own inside, strangers after it, and so on.
    let top = if is_ipv6 { u64::MAX } else { u64::from(u32::MAX) };
    let mut boundaries: Vec<(u64, u32)> = Vec::new();
    for (first, last, socket) in steered {
        // Where one range follows another there are no strangers in between.
        if boundaries.last().is_some_and(|(at, _)| *at == first) {
            boundaries.pop();
        }
        boundaries.push((first, socket));
        if last < top {
            boundaries.push((last + 1, STRANGERS));
        }
    }
    let mut program = Vec::new();
    if !is_ipv6 {
        program.push(Instruction { code: LOAD_WORD, jt: 0, jf: 0, k: IPV4_SOURCE });
    }
    search(&boundaries, STRANGERS, is_ipv6, &mut program);
    program
}

/// First and last address of a network of this family as numbers; of IPv6 the /64s, since a packet of the same /64 is judged like any other.
fn range(net: IpNet, is_ipv6: bool) -> Option<(u64, u64)> {
    match net {
        IpNet::V6(net) if is_ipv6 => {
            Some(((net.network().to_bits() >> 64) as u64, (net.broadcast().to_bits() >> 64) as u64))
        }
        IpNet::V4(net) if !is_ipv6 => Some((u64::from(net.network().to_bits()), u64::from(net.broadcast().to_bits()))),
        _ => None,
    }
}

/// Sort, join what touches, and join the nearest neighbours until at most `limit` ranges are left.
fn merge(mut ranges: Vec<(u64, u64)>, limit: usize) -> Vec<(u64, u64)> {
    ranges.sort_unstable();
    let mut merged: Vec<(u64, u64)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match merged.last_mut() {
            Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
            _ => merged.push((first, last)),
        }
    }
    if merged.len() > limit {
        let mut gaps: Vec<u64> = merged.windows(2).map(|pair| pair[1].0 - pair[0].1).collect();
        let surplus = merged.len() - limit;
        gaps.sort_unstable();
        let widest_closed = gaps[surplus - 1];
        let mut coarse: Vec<(u64, u64)> = Vec::with_capacity(limit);
        for (first, last) in merged {
            match coarse.last_mut() {
                Some((_, end)) if first - *end <= widest_closed => *end = last,
                _ => coarse.push((first, last)),
            }
        }
        merged = coarse;
    }
    merged
}

/// Emit a binary search; `before` is the socket for addresses below the first boundary. Far jumps go through `JUMP`, since
/// conditional ones reach 255 instructions only.
fn search(boundaries: &[(u64, u32)], before: u32, is_ipv6: bool, program: &mut Vec<Instruction>) {
    if boundaries.is_empty() {
        program.push(Instruction { code: RETURN, jt: 0, jf: 0, k: before });
        return;
    }
    let middle = boundaries.len() / 2;
    let (at, socket) = boundaries[middle];
    let to_right = if is_ipv6 {
        let (high, low) = ((at >> 32) as u32, at as u32);
        program.push(Instruction { code: LOAD_WORD, jt: 0, jf: 0, k: IPV6_SOURCE });
        program.push(Instruction { code: JUMP_GREATER, jt: 3, jf: 0, k: high });
        program.push(Instruction { code: JUMP_EQUAL, jt: 0, jf: 3, k: high });
        program.push(Instruction { code: LOAD_WORD, jt: 0, jf: 0, k: IPV6_SOURCE + 4 });
        program.push(Instruction { code: JUMP_GREATER_OR_EQUAL, jt: 0, jf: 1, k: low });
        program.len()
    } else {
        program.push(Instruction { code: JUMP_GREATER_OR_EQUAL, jt: 0, jf: 1, k: at as u32 });
        program.len()
    };
    program.push(Instruction { code: JUMP, jt: 0, jf: 0, k: 0 });
    search(&boundaries[..middle], before, is_ipv6, program);
    program[to_right].k = (program.len() - to_right - 1) as u32;
    search(&boundaries[middle + 1..], socket, is_ipv6, program);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What the kernel does with the program, for the instructions that it uses.
    fn run(program: &[Instruction], source: IpAddr) -> u32 {
        let word = |k: u32| match source {
            IpAddr::V4(ip) => {
                assert_eq!(k, IPV4_SOURCE);
                ip.to_bits()
            }
            IpAddr::V6(ip) => (ip.to_bits() >> (96 - 8 * (k - IPV6_SOURCE))) as u32,
        };
        let (mut at, mut accumulator) = (0, 0);
        loop {
            let Instruction { code, jt, jf, k } = program[at];
            at += 1;
            let jump = |is_true: bool| usize::from(if is_true { jt } else { jf });
            match code {
                LOAD_WORD => accumulator = word(k),
                JUMP => at += k as usize,
                JUMP_GREATER_OR_EQUAL => at += jump(accumulator >= k),
                JUMP_GREATER => at += jump(accumulator > k),
                JUMP_EQUAL => at += jump(accumulator == k),
                RETURN => return k,
                other => panic!("instruction {other:#x}"),
            }
        }
    }

    fn v4_net() -> impl Strategy<Value = IpNet> {
        (any::<u32>(), 0..=32_u8)
            .prop_map(|(bits, length)| IpNet::new(IpAddr::V4(bits.into()), length).unwrap().trunc())
    }

    fn v6_net() -> impl Strategy<Value = IpNet> {
        (any::<u128>(), 1..=64_u8)
            .prop_map(|(bits, length)| IpNet::new(IpAddr::V6(bits.into()), length).unwrap().trunc())
    }

    proptest! {
        #[test]
        fn steers_as_a_look_through_all_networks_would(
            nets in prop::collection::vec(v4_net(), 0..40),
            sources in prop::collection::vec(any::<u32>(), 20),
        ) {
            let program = filter(&nets, &[], false);
            let edges = nets.iter().flat_map(|net| [net.network(), net.broadcast()]);
            for source in sources.into_iter().map(|bits| IpAddr::V4(bits.into())).chain(edges) {
                let expected = nets.iter().any(|net| net.contains(&source));
                prop_assert_eq!(run(&program, source) == KNOWN, expected);
            }
        }

        #[test]
        fn steers_ipv6_by_its_64(
            nets in prop::collection::vec(v6_net(), 0..40),
            sources in prop::collection::vec(any::<u128>(), 20),
        ) {
            let program = filter(&nets, &[], true);
            let edges = nets.iter().flat_map(|net| [net.network(), net.broadcast()]);
            for source in sources.into_iter().map(|bits| IpAddr::V6(bits.into())).chain(edges) {
                let expected = nets.iter().any(|net| net.contains(&source));
                prop_assert_eq!(run(&program, source) == KNOWN, expected);
            }
        }
    }

    proptest! {
        #[test]
        fn phones_outside_gateways_networks_have_their_own_socket(
            nets in prop::collection::vec(v4_net().prop_filter("wide", |net| net.prefix_len() > 2), 0..10),
            phones in prop::collection::vec(any::<u32>(), 0..40),
        ) {
            let phones: Vec<IpAddr> = phones.into_iter().map(|bits| IpAddr::V4(bits.into())).collect();
            let program = filter(&nets, &phones, false);
            for phone in &phones {
                let IpAddr::V4(ip) = phone else { unreachable!() };
                let near = [ip.to_bits().wrapping_sub(1), ip.to_bits(), ip.to_bits().wrapping_add(1)];
                for source in near.map(|bits| IpAddr::V4(bits.into())) {
                    let expected = if nets.iter().any(|net| net.contains(&source)) {
                        KNOWN
                    } else if phones.contains(&source) {
                        PHONES
                    } else {
                        STRANGERS
                    };
                    prop_assert_eq!(run(&program, source), expected);
                }
            }
        }
    }

    #[test]
    fn phones_get_what_room_gateways_leave() {
        let net = |i: u32| IpNet::from(IpAddr::V4((i * 400_009).into()));
        let phones: Vec<IpAddr> = (0..10_000_u32).map(|i| IpAddr::V4((i * 400_007 + 5).into())).collect();
        for gateways in [0, 400, 10_000] {
            let nets: Vec<IpNet> = (0..gateways).map(net).collect();
            let program = filter(&nets, &phones, false);
            assert!(program.len() <= MAX_INSTRUCTIONS, "{} instructions", program.len());
            assert!(nets.iter().all(|net| run(&program, net.addr()) == KNOWN));
            let steered = phones.iter().filter(|ip| run(&program, **ip) == PHONES).count();
            assert!(steered >= MAX_IPV4_RANGES.saturating_sub(gateways as usize), "{steered} beside {gateways}");
        }
        let phone: IpAddr = "2001:db8::7".parse().unwrap();
        let program = filter(&[], &[phone], true);
        assert_eq!(run(&program, "2001:db8::8".parse().unwrap()), PHONES);
        assert_eq!(run(&program, "2001:db8:0:1::7".parse().unwrap()), STRANGERS);
    }

    #[test]
    fn ten_thousand_gateways_fit_and_none_is_missed() {
        let nets: Vec<IpNet> = (0..10_000_u32).map(|i| IpNet::from(IpAddr::V4((i * 400_009).into()))).collect();
        let program = filter(&nets, &[], false);
        assert!(program.len() <= MAX_INSTRUCTIONS, "{} instructions", program.len());
        assert!(nets.iter().all(|net| run(&program, net.addr()) == KNOWN));
        let nets: Vec<IpNet> = (0..10_000_u128).map(|i| IpNet::from(IpAddr::V6(((i * 7_919) << 70).into()))).collect();
        let program = filter(&nets, &[], true);
        assert!(program.len() <= MAX_INSTRUCTIONS, "{} instructions", program.len());
        assert!(nets.iter().all(|net| run(&program, net.addr()) == KNOWN));
    }
}

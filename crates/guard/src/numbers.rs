// SPDX-License-Identifier: Apache-2.0
//! Black and white lists of number prefixes, for callers and for callees.

use serde::Deserialize;

/// What a list says of what it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Color {
    /// Refused.
    Black,
    /// Never refused by a list, muted or locked out.
    White,
}

#[derive(Default, Debug)]
struct Node {
    children: Vec<(u8, Node)>,
    rule: Option<(Color, u64)>,
}

/// Prefixes of numbers; the longest rule in force decides.
#[derive(Default, Debug)]
pub struct NumberList {
    root: Node,
    len: usize,
}

impl NumberList {
    /// Add a prefix; `expires_at_us` is UTC microseconds, 0 for never.
    pub fn insert(&mut self, prefix: &[u8], color: Color, expires_at_us: u64) {
        let mut node = &mut self.root;
        for &digit in prefix {
            let at = node.children.iter().position(|(label, _)| *label == digit).unwrap_or_else(|| {
                node.children.push((digit, Node::default()));
                node.children.len().saturating_sub(1)
            });
            let Some((_, child)) = node.children.get_mut(at) else {
                return;
            };
            node = child;
        }
        node.rule = Some((color, expires_at_us));
        self.len = self.len.saturating_add(1);
    }

    /// What the longest prefix of `number` in force at `now_us` says.
    pub fn color(&self, number: &[u8], now_us: u64) -> Option<Color> {
        if self.len == 0 {
            return None;
        }
        let in_force = |node: &Node| node.rule.filter(|(_, expires)| *expires == 0 || *expires > now_us);
        let mut node = &self.root;
        let mut found = in_force(node);
        for &digit in number {
            let Some((_, child)) = node.children.iter().find(|(label, _)| *label == digit) else {
                break;
            };
            node = child;
            found = in_force(node).or(found);
        }
        found.map(|(color, _)| color)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_longest_prefix_in_force_decides() {
        let mut list = NumberList::default();
        list.insert(b"00", Color::Black, 0);
        list.insert(b"0044", Color::White, 0);
        list.insert(b"00447", Color::Black, 100);
        assert_eq!(list.color(b"0033", 0), Some(Color::Black));
        assert_eq!(list.color(b"00441", 0), Some(Color::White));
        assert_eq!(list.color(b"004470", 99), Some(Color::Black));
        assert_eq!(list.color(b"004470", 100), Some(Color::White));
        assert_eq!(list.color(b"1", 0), None);
    }

    proptest! {
        #[test]
        fn equals_a_search_through_all_prefixes(
            rules in prop::collection::btree_map("[01]{1,5}", any::<bool>(), 0..20),
            number in "[01]{0,8}",
        ) {
            let mut list = NumberList::default();
            for (prefix, black) in &rules {
                list.insert(prefix.as_bytes(), if *black { Color::Black } else { Color::White }, 0);
            }
            let longest = rules.iter().filter(|(prefix, _)| number.starts_with(prefix.as_str())).max_by_key(|(p, _)| p.len());
            let expected = longest.map(|(_, black)| if *black { Color::Black } else { Color::White });
            prop_assert_eq!(list.color(number.as_bytes(), 0), expected);
        }
    }
}

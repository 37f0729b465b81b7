//! The tree of RFC 6962: roots, and proofs made and checked. Nothing here reads a file.
//!
//! Proofs are checked by the algorithms of RFC 9162 sections 2.1.3.2 and 2.1.4.2, which share nothing with how they are
//! made (RFC 6962 sections 2.1.1 and 2.1.2).

use crate::{AuditError, Hash};

/// Where hashes of complete subtrees come from: `subtree(height, index)` covers the leaves from `index << height` to
/// `(index + 1) << height`.
pub(crate) trait Subtrees {
    fn subtree(&self, height: u32, index: u64) -> Result<Hash, AuditError>;
}

/// The greatest power of two below `leaves`, which is over 1: where RFC 6962 splits a tree.
fn split(leaves: u64) -> u64 {
    1 << (leaves - 1).ilog2()
}

/// The hash of the leaves from `start` to `end`, which RFC 6962 made one subtree; there is at least one.
pub(crate) fn range_root(source: &impl Subtrees, start: u64, end: u64) -> Result<Hash, AuditError> {
    let leaves = end - start;
    if leaves.is_power_of_two() && start.is_multiple_of(leaves) {
        let height = leaves.ilog2();
        return source.subtree(height, start >> height);
    }
    let middle = start + split(leaves);
    let left = range_root(source, start, middle)?;
    Ok(Hash::of_node(&left, &range_root(source, middle, end)?))
}

/// Hashes that lead from leaf `index` to the root of the first `size` leaves, the leaf's sibling first.
pub(crate) fn inclusion(
    source: &impl Subtrees,
    index: u64,
    size: u64,
) -> Result<Vec<Hash>, AuditError> {
    let (mut start, mut end, mut proof) = (0, size, Vec::new());
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            proof.push(range_root(source, middle, end)?);
            end = middle;
        } else {
            proof.push(range_root(source, start, middle)?);
            start = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// Hashes that show that the first `old` leaves of a tree of `size` are the tree of `old` leaves.
pub(crate) fn consistency(
    source: &impl Subtrees,
    mut old: u64,
    size: u64,
) -> Result<Vec<Hash>, AuditError> {
    let (mut start, mut end, mut proof) = (0, size, Vec::new());
    if old == 0 {
        return Ok(proof);
    }
    while start + old != end {
        let middle = start + split(end - start);
        if start + old <= middle {
            proof.push(range_root(source, middle, end)?);
            end = middle;
        } else {
            proof.push(range_root(source, start, middle)?);
            (start, old) = (middle, start + old - middle);
        }
    }
    if start > 0 {
        proof.push(range_root(source, start, end)?);
    }
    proof.reverse();
    Ok(proof)
}

/// Whether `proof` leads from `leaf` at `index` to the root of a tree of `size` leaves.
pub(crate) fn check_inclusion(
    leaf: Hash,
    index: u64,
    size: u64,
    root: Hash,
    proof: &[Hash],
) -> bool {
    if index >= size {
        return false;
    }
    let (mut node, mut last, mut hash) = (index, size - 1, leaf);
    for sibling in proof {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            hash = Hash::of_node(sibling, &hash);
            // Up to where this node is a right child.
            let up = if node == 0 { 0 } else { node.trailing_zeros() };
            (node, last) = (node >> up, last >> up);
        } else {
            hash = Hash::of_node(&hash, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    last == 0 && hash == root
}

/// Whether `proof` shows that the tree of `size` leaves with `root` begins with that of `old_size` leaves with
/// `old_root`.
pub(crate) fn check_consistency(
    old_size: u64,
    old_root: Hash,
    size: u64,
    root: Hash,
    proof: &[Hash],
) -> bool {
    if old_size == 0 || old_size >= size {
        let same = if old_size == 0 {
            Hash::of_nothing()
        } else {
            root
        };
        return old_size <= size
            && proof.is_empty()
            && old_root == same
            && (size > 0 || root == same);
    }
    let first = old_size.is_power_of_two().then_some(&old_root);
    let mut path = first.into_iter().chain(proof);
    let Some(seed) = path.next() else {
        return false;
    };
    let up = (old_size - 1).trailing_ones();
    let (mut node, mut last) = ((old_size - 1) >> up, (size - 1) >> up);
    let (mut old, mut new) = (*seed, *seed);
    for sibling in path {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            old = Hash::of_node(sibling, &old);
            new = Hash::of_node(sibling, &new);
            let up = if node == 0 { 0 } else { node.trailing_zeros() };
            (node, last) = (node >> up, last >> up);
        } else {
            new = Hash::of_node(&new, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    last == 0 && old == old_root && new == root
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 6962's definition, word for word.
    fn naive_root(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Hash::of_nothing(),
            [leaf] => *leaf,
            _ => {
                let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
                Hash::of_node(&naive_root(left), &naive_root(right))
            }
        }
    }

    struct Leaves(Vec<Hash>);

    impl Subtrees for Leaves {
        fn subtree(&self, height: u32, index: u64) -> Result<Hash, AuditError> {
            let leaves = 1_usize << height;
            let start = usize::try_from(index).unwrap() * leaves;
            Ok(naive_root(&self.0[start..start + leaves]))
        }
    }

    fn leaves(count: u64) -> Leaves {
        Leaves(
            (0..count)
                .map(|n| Hash::of_leaf(&n.to_le_bytes()))
                .collect(),
        )
    }

    /// Every bit of a hash, turned over.
    fn forged(hash: &Hash, bit: usize) -> Hash {
        let mut bytes = hash.0;
        bytes[bit / 8 % 32] ^= 1 << (bit % 8);
        Hash(bytes)
    }

    #[test]
    fn proofs_of_all_small_trees_hold_and_hold_for_nothing_else() {
        let all = leaves(40);
        let roots: Vec<Hash> = (0..=40).map(|size| naive_root(&all.0[..size])).collect();
        for size in 0..=40_u64 {
            let new = roots[usize::try_from(size).unwrap()];
            if size > 0 {
                assert_eq!(range_root(&all, 0, size), Ok(new));
            }
            for index in 0..size {
                let proof = inclusion(&all, index, size).unwrap();
                let leaf = all.0[usize::try_from(index).unwrap()];
                assert!(check_inclusion(leaf, index, size, new, &proof));
                for other in (0..=41).filter(|other| *other != index) {
                    assert!(!check_inclusion(leaf, other, size, new, &proof));
                }
                for at in 0..proof.len() {
                    let mut proof = proof.clone();
                    proof[at] = forged(&proof[at], at * 37);
                    assert!(!check_inclusion(leaf, index, size, new, &proof));
                }
            }
            for old in 0..=size {
                let before = roots[usize::try_from(old).unwrap()];
                let proof = consistency(&all, old, size).unwrap();
                assert!(
                    check_consistency(old, before, size, new, &proof),
                    "{old} {size}"
                );
                assert!(!check_consistency(
                    old,
                    forged(&before, 3),
                    size,
                    new,
                    &proof
                ));
                if old > 0 {
                    assert!(!check_consistency(
                        old,
                        before,
                        size,
                        forged(&new, 9),
                        &proof
                    ));
                }
                for at in 0..proof.len() {
                    let mut proof = proof.clone();
                    proof[at] = forged(&proof[at], at * 41);
                    assert!(!check_consistency(old, before, size, new, &proof));
                    proof.remove(at);
                    assert!(!check_consistency(old, before, size, new, &proof));
                }
            }
        }
    }

    proptest! {
        #[test]
        fn any_hashes_are_taken_as_a_proof(
            old in any::<u64>(), size in any::<u64>(), proof in prop::collection::vec(any::<[u8; 32]>(), 0..70)
        ) {
            let proof: Vec<Hash> = proof.into_iter().map(Hash).collect();
            let none = Hash::of_nothing();
            prop_assert!(!check_inclusion(none, old, size, none, &proof));
            prop_assert!(!check_consistency(old, none, size, Hash([0; 32]), &proof));
        }
    }
}

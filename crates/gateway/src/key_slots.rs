//! How many requests each key has under way, so that no caller takes every connection.

use madang_types::KeyId;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Keys with requests under way, and how many. As large as there are such keys.
#[derive(Debug, Default)]
pub struct KeySlots {
    busy: Mutex<BTreeMap<KeyId, u32>>,
}

/// One request's place; dropping it gives it back.
#[derive(Debug)]
pub struct KeySlot {
    slots: Arc<KeySlots>,
    key: KeyId,
}

impl KeySlots {
    /// A place for one more request of `key`; `None` where it has `count_max` already.
    pub fn take(self: &Arc<Self>, key: &KeyId, count_max: u32) -> Option<KeySlot> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        match busy.get_mut(key) {
            Some(count) if *count >= count_max => return None,
            Some(count) => *count += 1,
            None => {
                busy.insert(key.clone(), 1);
            }
        }
        drop(busy);
        Some(KeySlot {
            slots: Arc::clone(self),
            key: key.clone(),
        })
    }
}

impl Drop for KeySlot {
    fn drop(&mut self) {
        let mut busy = self
            .slots
            .busy
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = busy.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                busy.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_comes_back_and_an_idle_key_costs_nothing() {
        let slots = Arc::new(KeySlots::default());
        let [one, other] = ["aaaa", "bbbb"].map(|id| KeyId::new(id).expect("a name"));
        let held = [slots.take(&one, 2), slots.take(&one, 2)];
        assert!(held.iter().all(Option::is_some));
        assert!(slots.take(&one, 2).is_none());
        assert!(slots.take(&other, 2).is_some());
        drop(held);
        assert!(slots.busy.lock().expect("no panic").is_empty());
    }
}

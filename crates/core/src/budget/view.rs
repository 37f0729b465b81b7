//! What there is to spend from, as the books have it.

use super::Budgets;
use super::purse::Held;
use madang_ledger::Purse;
use madang_types::{KeyId, Micros, ModelClass, ProjectId, TenantId, Unit};
use serde::{Deserialize, Serialize};

/// One purse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurseView {
    /// Which.
    pub purse: Purse,
    /// In what it is counted: won, or tokens of any kind.
    pub unit: Unit,
    /// It pays for models of this class alone; `None`: for any.
    pub model_class: Option<ModelClass>,
    /// It is never passed, not by one token. One that is not hard takes a request in at its likely cost while it is far from its
    /// end; what that costs beyond it the tenant owes.
    pub hard: bool,
    /// From when on it may be spent.
    pub from: Micros,
    /// Until when; `None` for no end.
    pub until: Option<Micros>,
    /// When more comes, for whoever finds it empty: instants in order, past ones too.
    pub renews_at: Vec<Micros>,
}

/// All purses and whose they are. It replaces the last one whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetView {
    /// The purses.
    pub purses: Vec<PurseView>,
    /// Purses that pay for each tenant. One that is named with none may spend nothing; one that is not named spends freely, and owes it.
    pub tenants: Vec<(TenantId, Vec<Purse>)>,
    /// Ceilings over keys.
    pub keys: Vec<(KeyId, Vec<Purse>)>,
    /// Ceilings over projects.
    pub projects: Vec<((TenantId, ProjectId), Vec<Purse>)>,
}

impl Budgets {
    /// Puts a view in force. What is set aside stays; of a purse that is named no longer nothing more is, and its rights go back when
    /// the last request has ended.
    pub fn apply(&mut self, view: BudgetView) {
        for held in self.purses.values_mut() {
            held.view = None;
        }
        for purse in view.purses {
            let held = self.purses.entry(purse.purse.clone());
            let held = held.or_insert_with(|| Held::new(purse.unit));
            held.view = Some(purse);
        }
        self.allocations = view.tenants.into_iter().collect();
        // What ends first would be lost first. Of what ends together, what is for one class goes first: the other pays for the rest too.
        let turn = |purse: &Purse| {
            let view = self.purses.get(purse).and_then(|held| held.view.as_ref());
            let ends = view.and_then(|view| view.until);
            let narrow = view.is_some_and(|view| view.model_class.is_some());
            (ends.unwrap_or(Micros(i64::MAX)), !narrow, purse.clone())
        };
        for list in self.allocations.values_mut() {
            list.sort_by_cached_key(turn);
        }
        self.keys = view.keys.into_iter().collect();
        self.projects = view.projects.into_iter().collect();
        self.purses
            .retain(|_, held| held.view.is_some() || held.is_in_use());
    }
}

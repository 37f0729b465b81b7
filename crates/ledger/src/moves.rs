//! The entries by which budgets and grants come to be and go back. Each has an id that follows from what it is about, so
//! that whoever writes it twice writes it once.

use crate::{Account, Entry, EntryId, Leg, Phase, Purse, Subject};
use madang_types::{Allocation, Micros, ProgrammeBudget, Unit};

/// Sets a programme's budget from `before` to what it says: more comes from outside, and less goes back there. `None` where it stays.
pub fn budget_entry(before: i64, budget: &ProgrammeBudget, at: Micros) -> Option<Entry> {
    let ProgrammeBudget {
        programme,
        unit,
        class,
        amount,
        concentration_permille_max: _,
    } = budget;
    let moved = i64::try_from(amount.abs_diff(before)).unwrap_or(i64::MAX);
    let account = Account::Programme(programme.clone(), class.clone());
    let way = if *amount >= before {
        (Account::World, account)
    } else {
        (account, Account::World)
    };
    let of = match class {
        Some(class) => format!("{unit}:{class}"),
        None => unit.to_string(),
    };
    let name = format!("budget:{programme}:{of}:{}", at.0);
    let subject = Subject::Budget(programme.clone());
    (moved > 0).then(|| entry((&name, at, subject), (*unit, moved), way))
}

/// Grants an allocation.
pub fn grant_entry(new: &Allocation) -> Entry {
    let (programme, purse) = ends(new);
    let name = format!("allocation:{}", new.id);
    let about = (&*name, new.created_at, Subject::Allocation(new.id.clone()));
    entry(about, (new.unit, new.amount), (programme, purse))
}

/// Takes back what nobody holds of an allocation that is over.
pub fn take_back_entry(over: &Allocation, left: i64, at: Micros) -> Entry {
    let (programme, purse) = ends(over);
    let name = format!("return:{}:{}", over.id, at.0);
    let about = (&*name, at, Subject::Allocation(over.id.clone()));
    entry(about, (over.unit, left), (purse, programme))
}

fn ends(of: &Allocation) -> (Account, Account) {
    (
        Account::Programme(of.programme.clone(), of.class.clone()),
        Account::Purse(Purse::Allocation(of.id.clone())),
    )
}

fn entry(
    (name, at, subject): (&str, Micros, Subject),
    (unit, amount): (Unit, i64),
    (from, to): (Account, Account),
) -> Entry {
    Entry {
        id: EntryId::named(name),
        phase: Phase::Direct,
        at,
        subject,
        legs: vec![Leg {
            unit,
            amount,
            from,
            to,
        }],
    }
}

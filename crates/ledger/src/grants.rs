//! What a programme may grant: rules over budgets and allocations, with words for whoever asks.

use crate::accelerator::{AcceleratorPrice, HOUR_PRICE_MAX};
use crate::price::{Currency, Exchange, PRICE_MAX, Price};
use crate::tranche::check_tranches;
use madang_types::{Allocation, Class, Micros, ProgrammeBudget, Unit};

/// The most that a budget or an allocation may hold: what is above it is a slip of the keyboard. In µ₩ a trillion won.
pub const AMOUNT_MAX: i64 = 1_000_000_000_000_000_000;

/// Whether a budget may be set.
///
/// # Errors
/// What is wrong with it.
pub fn check_budget(budget: &ProgrammeBudget) -> Result<(), String> {
    check_counted(budget.unit, budget.class.as_ref())?;
    if !(0..=AMOUNT_MAX).contains(&budget.amount) {
        return Err(format!(
            "the amount {} is not within 0 and {AMOUNT_MAX}",
            budget.amount
        ));
    }
    if !(1..=1000).contains(&budget.concentration_permille_max) {
        return Err("concentration_permille_max is not within 1 and 1000".into());
    }
    Ok(())
}

/// Whether an allocation may be granted from a programme's budget, beside its others.
///
/// # Errors
/// What stands in the way.
pub fn check_allocation(
    new: &Allocation,
    budget: Option<&ProgrammeBudget>,
    others: &[Allocation],
) -> Result<(), String> {
    let Allocation {
        programme,
        tenant,
        unit,
        class,
        amount,
        from,
        until,
        ..
    } = new;
    check_counted(*unit, class.as_ref())?;
    if !(1..=AMOUNT_MAX).contains(amount) {
        return Err(format!(
            "the amount {amount} is not within 1 and {AMOUNT_MAX}"
        ));
    }
    if from >= until {
        return Err("it ends before it begins".into());
    }
    if *until <= new.created_at {
        return Err("it has ended already".into());
    }
    check_tranches(new)?;
    let Some(budget) = budget else {
        let counted = counted(*unit, class.as_ref());
        return Err(format!(
            "the programme '{programme}' has no budget in {counted}: set one first"
        ));
    };
    let same = others.iter().filter(|other| {
        let of = (&other.programme, &other.tenant, other.unit);
        of == (programme, tenant, *unit) && other.class == *class
    });
    let mut granted = i128::from(*amount);
    for other in same {
        if other.from < *until && *from < other.ends_at() {
            return Err(format!(
                "it overlaps the allocation '{}' of the same tenant, programme, unit and class: let it begin later, or recall that one",
                other.id
            ));
        }
        if other.ends_at() > new.created_at {
            granted += i128::from(other.amount);
        }
    }
    let permille = i128::from(budget.concentration_permille_max);
    if granted * 1000 > i128::from(budget.amount) * permille {
        let counted = counted(*unit, class.as_ref());
        return Err(format!(
            "'{tenant}' would hold {granted} {counted} of {}: more than {permille} thousandths, the programme's cap on one tenant",
            budget.amount
        ));
    }
    Ok(())
}

/// In what an amount is counted, in words.
fn counted(unit: Unit, class: Option<&Class>) -> String {
    match class {
        Some(kind) if unit == Unit::AcceleratorMs => format!("{unit} of accelerators '{kind}'"),
        Some(class) => format!("{unit} for models of the class '{class}'"),
        None => unit.to_string(),
    }
}

/// The class of an amount that is said to be for a class of models or a kind of accelerator.
///
/// # Errors
/// Its unit has no such.
pub fn class_of(
    unit: Unit,
    model_class: Option<Class>,
    accelerator: Option<Class>,
) -> Result<Option<Class>, String> {
    if model_class.is_some() && unit != Unit::Tokens {
        return Err(format!(
            "tokens alone can be for one class of models, not {unit}: grant tokens, or leave model_class out"
        ));
    }
    if accelerator.is_some() && unit != Unit::AcceleratorMs {
        return Err(format!(
            "accelerator time alone can be for one kind of accelerator, not {unit}: grant accelerator_ms, or leave accelerator out"
        ));
    }
    Ok(model_class.or(accelerator))
}

fn check_counted(unit: Unit, class: Option<&Class>) -> Result<(), String> {
    match (unit, class) {
        (Unit::Tokens | Unit::AcceleratorMs, _) | (Unit::MicroWon, None) => Ok(()),
        (Unit::MicroWon, Some(class)) => Err(format!(
            "won pay for everything: leave '{class}' out, or grant tokens for a class of models, or accelerator_ms for a kind of accelerator"
        )),
        _ => Err(format!(
            "budgets are counted in micro_won, tokens or accelerator_ms, not in {unit}"
        )),
    }
}

/// Whether a price may be added: it changes nothing that has been charged, and begins `notice_ms` from now at the earliest, when every
/// gateway that shares the books knows it.
///
/// # Errors
/// What is wrong with it.
pub fn check_price(price: &Price, (now, notice_ms): (Micros, u64)) -> Result<(), String> {
    let amounts = [price.uncached, price.cached, price.output];
    if let Some(bad) = amounts
        .iter()
        .find(|amount| !(0..=PRICE_MAX).contains(*amount))
    {
        return Err(format!(
            "a price of {bad} millionths for a million tokens is not within 0 and {PRICE_MAX}"
        ));
    }
    check_from(price.from, (now, notice_ms))
}

/// Whether a price of accelerator time may be added; as [`check_price`].
///
/// # Errors
/// What is wrong with it.
pub fn check_accelerator_price(
    price: &AcceleratorPrice,
    (now, notice_ms): (Micros, u64),
) -> Result<(), String> {
    if !(0..=HOUR_PRICE_MAX).contains(&price.hour.0) {
        return Err(format!(
            "a price of {} µ₩ for an hour is not within 0 and {HOUR_PRICE_MAX}",
            price.hour.0
        ));
    }
    check_from(price.from, (now, notice_ms))
}

/// Whether a rate of exchange may be added; as [`check_price`].
///
/// # Errors
/// What is wrong with it.
pub fn check_exchange(exchange: &Exchange, (now, notice_ms): (Micros, u64)) -> Result<(), String> {
    if exchange.currency == Currency::KRW {
        return Err("the won needs no rate of exchange".into());
    }
    if !(1..=PRICE_MAX).contains(&exchange.won.0) {
        return Err(format!(
            "a rate of {} µ₩ is not within 1 and {PRICE_MAX}",
            exchange.won.0
        ));
    }
    check_from(exchange.from, (now, notice_ms))
}

fn check_from(from: Micros, (now, notice_ms): (Micros, u64)) -> Result<(), String> {
    if from < now {
        return Err("it would begin in the past, and what was charged is not charged anew: let it begin now or later".into());
    }
    if from < now.plus_ms(notice_ms) {
        let seconds = notice_ms.div_ceil(1_000);
        return Err(format!(
            "it would begin before every gateway knows it: let it begin {seconds} s from now or later"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use madang_types::{MicroWon, Tranche};

    fn allocation(id: &str, tenant: &str, amount: i64, (from, until): (i64, i64)) -> Allocation {
        Allocation {
            id: id.parse().unwrap(),
            programme: "startups".parse().unwrap(),
            tenant: tenant.parse().unwrap(),
            unit: Unit::MicroWon,
            class: None,
            amount,
            hard: true,
            from: Micros(from),
            tranches: Vec::new(),
            until: Micros(until),
            created_at: Micros(100),
            recalled_at: None,
        }
    }

    /// Beside 300 of `hanbit` from 200 until 300, in a budget of 1,000 of which one tenant may hold half.
    fn check(new: &Allocation, expected: Result<(), &str>) {
        let budget = ProgrammeBudget {
            programme: "startups".parse().unwrap(),
            unit: Unit::MicroWon,
            class: None,
            amount: 1_000,
            concentration_permille_max: 500,
        };
        let others = [allocation("first", "hanbit", 300, (200, 300))];
        let found = check_allocation(new, Some(&budget), &others);
        match (found, expected) {
            (Ok(()), Ok(())) => {}
            (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
            other => unreachable!("{other:?}"),
        }
    }

    #[test]
    fn a_grant_that_breaks_a_rule_is_refused_in_words() {
        let grant = |amount, period| allocation("new", "hanbit", amount, period);
        check(&grant(200, (300, 400)), Ok(()));
        check(&grant(201, (300, 400)), Err("more than 500 thousandths"));
        check(
            &grant(1, (299, 400)),
            Err("overlaps the allocation 'first'"),
        );
        check(
            &grant(1, (100, 201)),
            Err("overlaps the allocation 'first'"),
        );
        check(&grant(1, (100, 200)), Ok(()));
        check(&grant(0, (300, 400)), Err("not within 1"));
        check(&grant(-5, (300, 400)), Err("not within 1"));
        check(&grant(i64::MAX, (300, 400)), Err("not within 1"));
        check(&grant(1, (400, 400)), Err("ends before it begins"));
        check(&grant(1, (10, 100)), Err("has ended already"));
        check(&allocation("new", "daeil", 500, (200, 300)), Ok(()));
        let mut parts = grant(3, (300, 400));
        let tranche = |from, amount| Tranche {
            from: Micros(from),
            amount,
        };
        parts.tranches = vec![tranche(300, 1), tranche(350, 2)];
        check(&parts, Ok(()));
        parts.amount = 4;
        check(&parts, Err("are 3 in all"));
        let mut tokens = grant(1, (300, 400));
        tokens.unit = Unit::OutputTokens;
        check(&tokens, Err("counted in micro_won"));
        let mut narrow = grant(1, (300, 400));
        narrow.class = Some("large".parse().unwrap());
        check(&narrow, Err("leave 'large' out"));
        let none = check_allocation(&grant(1, (300, 400)), None, &[]);
        assert!(none.unwrap_err().contains("has no budget in micro_won"));
        narrow.unit = Unit::Tokens;
        let none = check_allocation(&narrow, None, &[]).unwrap_err();
        assert!(
            none.contains("no budget in tokens for models of the class 'large'"),
            "{none}"
        );
        narrow.unit = Unit::AcceleratorMs;
        let none = check_allocation(&narrow, None, &[]).unwrap_err();
        let expected = "no budget in accelerator_ms of accelerators 'large'";
        assert!(none.contains(expected), "{none}");
    }

    /// Beside 300 for any model, in a budget of 1,000 of which one tenant may hold half.
    #[test]
    fn each_class_has_its_own_cap_and_its_own_periods() {
        let budget = |class: Option<&str>| ProgrammeBudget {
            programme: "startups".parse().unwrap(),
            unit: Unit::Tokens,
            class: class.map(|class| class.parse().unwrap()),
            amount: 1_000,
            concentration_permille_max: 500,
        };
        let tokens = |class: Option<&str>, amount| Allocation {
            unit: Unit::Tokens,
            class: budget(class).class,
            ..allocation("new", "hanbit", amount, (200, 300))
        };
        let others = [tokens(None, 300), tokens(Some("small"), 1)];
        let check = |class, amount, expected: Result<(), &str>| {
            let found = check_allocation(&tokens(class, amount), Some(&budget(class)), &others);
            match (found, expected) {
                (Ok(()), Ok(())) => {}
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
                other => unreachable!("{other:?}"),
            }
        };
        check(Some("large"), 500, Ok(()));
        check(
            Some("large"),
            501,
            Err("hold 501 tokens for models of the class 'large' of 1000"),
        );
        check(Some("small"), 1, Err("unit and class"));
        check(None, 1, Err("overlaps"));
    }

    #[test]
    fn a_class_is_of_tokens_and_a_kind_of_accelerator_time() {
        let check = |unit, asked: [Option<&str>; 2], expected: Result<Option<&str>, &str>| {
            let [model_class, accelerator] =
                asked.map(|name| name.map(|name| name.parse().unwrap()));
            let found = class_of(unit, model_class, accelerator);
            match (&found, expected) {
                (Ok(found), Ok(expected)) => {
                    assert_eq!(found.as_ref().map(Class::as_str), expected);
                }
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
                other => unreachable!("{other:?}"),
            }
        };
        check(Unit::Tokens, [None, None], Ok(None));
        check(Unit::Tokens, [Some("large"), None], Ok(Some("large")));
        check(Unit::AcceleratorMs, [None, Some("h200")], Ok(Some("h200")));
        check(
            Unit::AcceleratorMs,
            [Some("large"), None],
            Err("tokens alone"),
        );
        check(Unit::MicroWon, [Some("large"), None], Err("tokens alone"));
        check(
            Unit::Tokens,
            [None, Some("h200")],
            Err("accelerator time alone"),
        );
        check(
            Unit::Tokens,
            [Some("a"), Some("b")],
            Err("leave accelerator out"),
        );
    }

    #[test]
    fn what_was_charged_is_not_charged_anew() {
        let mut price = Price {
            model: "m".parse().unwrap(),
            place: None,
            from: Micros(100),
            currency: Currency::KRW,
            uncached: 0,
            cached: 0,
            output: PRICE_MAX,
        };
        assert_eq!(check_price(&price, (Micros(100), 0)), Ok(()));
        assert!(check_price(&price, (Micros(101), 0)).is_err());
        let early = check_price(&price, (Micros(100), 5_000)).unwrap_err();
        assert!(early.contains("5 s from now"), "{early}");
        price.cached = -1;
        assert!(
            check_price(&price, (Micros(100), 0))
                .unwrap_err()
                .contains("-1")
        );
        let mut hour = AcceleratorPrice {
            accelerator: "h200".parse().unwrap(),
            site: None,
            from: Micros(100),
            hour: MicroWon(HOUR_PRICE_MAX),
        };
        assert_eq!(check_accelerator_price(&hour, (Micros(100), 0)), Ok(()));
        let early = check_accelerator_price(&hour, (Micros(100), 5_000)).unwrap_err();
        assert!(early.contains("5 s from now"), "{early}");
        hour.hour = MicroWon(-1);
        let negative = check_accelerator_price(&hour, (Micros(100), 0)).unwrap_err();
        assert!(negative.contains("-1"), "{negative}");
        let won = Exchange {
            currency: Currency::KRW,
            from: Micros(100),
            won: MicroWon(1),
        };
        assert!(check_exchange(&won, (Micros(0), 0)).is_err());
    }
}

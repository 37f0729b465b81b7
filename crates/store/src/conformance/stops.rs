//! Properties of stop switches.

use super::{Failure, Fixture};
use crate::StoreError;
use madang_types::{Micros, Stop};

fn stop(scope: &str, at: i64) -> Result<Stop, Failure> {
    Ok(Stop {
        scope: scope.parse()?,
        reason: format!("점검 {at}"),
        set_by: "op".parse()?,
        set_at: Micros(at),
    })
}

/// A stop that is set again stays as it was set first, also when the books are opened anew.
pub async fn a_stop_is_set_once_and_survives(fixture: &impl Fixture) -> Result<(), Failure> {
    let store = fixture.open().await;
    let first = stop("country:US", 1)?;
    assert_eq!(store.stop_put(first.clone()).await?, first);
    assert_eq!(store.stop_put(stop("country:US", 2)?).await?, first);
    drop(store);
    assert_eq!(fixture.open().await.stop_list().await?, [first]);
    Ok(())
}

/// They are listed by scope; a lifted one is gone, and there is nothing to lift twice.
pub async fn a_stop_is_lifted_once(fixture: &impl Fixture) -> Result<(), Failure> {
    let store = fixture.open().await;
    for scope in ["upstream:openai", "country:US", "site:pohang"] {
        store.stop_put(stop(scope, 7)?).await?;
    }
    let lifted = store.stop_delete("site:pohang".parse()?).await?;
    assert_eq!(lifted, stop("site:pohang", 7)?);
    let left = [stop("country:US", 7)?, stop("upstream:openai", 7)?];
    assert_eq!(store.stop_list().await?, left);
    let absent = store.stop_delete("site:pohang".parse()?).await;
    let expected = StoreError::Absent("the stop site:pohang".into());
    assert_eq!(absent, Err(expected));
    Ok(())
}

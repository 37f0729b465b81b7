//! What keeps a crowd from making itself larger: budgets of attempts, early refusals, who gives way.

mod budget;
mod hedge;
mod pace;
mod shed;
mod wait;

pub(crate) use budget::Budget;
pub(crate) use pace::Pace;
pub(crate) use shed::Shedding;

//! What the handlers share.

use crate::sign_in::{Providers, Terminals};
use madang_control::Control;
use madang_gateway::clock;
use madang_gateway::gateway::Gateway;
use madang_store::{Bank, Store};
use madang_types::Micros;
use std::sync::Arc;
use utoipa::openapi::OpenApi;

/// The handlers' state.
pub(crate) struct Api {
    pub control: Arc<Control>,
    pub started_at: Micros,
    /// The OpenAPI document as sent.
    pub document: String,
    /// One change of programmes, tenants and keys at a time: each reads before it writes.
    pub changing: tokio::sync::Mutex<()>,
    /// What is known of the provider at which people sign in.
    pub providers: Providers,
    /// Codes of terminals at which people sign in.
    pub terminals: Terminals,
}

impl Api {
    pub fn new(control: Arc<Control>, document: &OpenApi) -> Self {
        Self {
            control,
            started_at: clock::now(),
            document: crate::openapi::text(document),
            changing: tokio::sync::Mutex::new(()),
            providers: Providers::default(),
            terminals: Terminals::default(),
        }
    }

    pub fn gateway(&self) -> &Gateway {
        self.control.gateway()
    }

    pub fn bank(&self) -> &dyn Bank {
        self.control.gateway().purses.bank()
    }

    pub fn store(&self) -> &dyn Store {
        self.control.gateway().books.store()
    }
}

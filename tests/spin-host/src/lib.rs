//! A small host that runs the Spin component from the very `spin.toml` that is deployed.
//!
//! It is no Spin: it offers what the component imports, with Spin's meaning, and refuses the rest. A
//! fresh instance answers each request, as on Spin 3; each `execute` of SQLite is a transaction of
//! its own; outbound connections go only where the manifest allows. Beyond that it can misbehave
//! ([`faults`]), which a Spin would not on request.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    reason = "test support: a panic is a failed test"
)]

pub mod faults;
pub mod key_value;
pub mod manifest;
pub mod outbound;
pub mod redis;
pub mod runtime;
pub mod server;
pub mod sqlite;

mod bindings {
    wasmtime::component::bindgen!({
        path: "wit",
        world: "platform",
        imports: { default: async | trappable },
        with: {
            "fermyon:spin/key-value.store": crate::key_value::Store,
            "fermyon:spin/redis.connection": crate::redis::Connection,
            "fermyon:spin/sqlite.connection": crate::sqlite::Connection,
        },
    });
}

//! Writ on Cloudflare Workers.
//!
//! It converts requests, lends the core a host made of Durable Objects, KV and WebCrypto, and
//! decides nothing. One isolate answers many requests at once on one thread: what it keeps between
//! them (`memory.rs`) holds nothing that belongs to one of them.
//!
//! The target is longer than the other ones because two sides of a call are here: the Worker that
//! asks, and the Durable Object (`partition.rs`, `index.rs`) that is asked.

use std::rc::Rc;
use std::sync::Once;

use js_sys::futures::{JsFuture, future_to_promise};
use wasm_bindgen::{JsCast, JsValue};
use worker::{Context, Env, Error, ScheduleContext, ScheduledEvent, event};

use crate::host::Edge;

mod host;
mod http;
mod index;
mod memory;
mod objects;
mod partition;
mod sql;
pub mod wire;

/// Answers a request.
#[event(fetch)]
async fn fetch(
    request: web_sys::Request,
    env: Env,
    context: Context,
) -> Result<web_sys::Response, Error> {
    hush();
    // The answer is the platform's to wait for, and not only the client's: what was begun comes to
    // its end after a client hangs up.
    let context = Rc::new(context);
    let own = Rc::clone(&context);
    let answer = future_to_promise(std::panic::AssertUnwindSafe(async move {
        Ok(http::answer(&request, &env, own).await?.into())
    }));
    (*context).as_ref().wait_until(&answer)?;
    Ok(JsFuture::from(answer).await?.unchecked_into())
}

/// Housekeeping. Where it never runs, expired entries of the index take space, and a fault of the
/// deployment is seen at the first request instead of here.
#[event(scheduled)]
async fn scheduled(_: ScheduledEvent, env: Env, _: ScheduleContext) {
    hush();
    let Ok(host) = Edge::new(&env, None) else { return };
    if let Err(unavailable) = host.sweep().await {
        worker::console_warn!("the index was not swept: {}", unavailable.0);
    }
    http::check(&host).await;
}

/// Has a panic say its place and not its message: what was being worked on may be a secret.
///
/// Called wherever the platform enters, because the runtime's own hook must be there before.
fn hush() {
    static HUSHED: Once = Once::new();
    HUSHED.call_once(|| {
        std::panic::set_hook(Box::new(|panic| {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            worker::console_error!("panicked at {place}");
            // What the runtime's own hook does besides: the module is started anew.
            let name = JsValue::from("__worker_init_state");
            if let Ok(state) = js_sys::Reflect::get(&js_sys::global(), &name) {
                let _ = js_sys::Reflect::set(&state, &"criticalError".into(), &JsValue::TRUE);
            }
        }));
    });
}

//! What an isolate remembers. Nothing here is a fact, and nothing belongs to one request: an object
//! of the platform that does would break the next request that touches it.

use std::rc::Rc;
use std::sync::OnceLock;

use worker::Env;
use writ_core::deployment::Deployment;
use writ_core::memory::Memory;

/// The core's memory.
pub(crate) fn core() -> &'static Memory {
    static MEMORY: OnceLock<Memory> = OnceLock::new();
    MEMORY.get_or_init(Memory::default)
}

thread_local! {
    static DEPLOYMENT: std::cell::OnceCell<Rc<Deployment>> = const { std::cell::OnceCell::new() };
}

/// The deployment, as the Worker's variables say. They are the same as long as an isolate lives.
///
/// # Errors
///
/// Every variable that is wrong.
pub(crate) fn deployment(env: &Env) -> Result<Rc<Deployment>, Vec<String>> {
    if let Some(kept) = DEPLOYMENT.with(|kept| kept.get().cloned()) {
        return Ok(kept);
    }
    let read = Rc::new(Deployment::read(|name| variable(env, name))?);
    Ok(DEPLOYMENT.with(|kept| Rc::clone(kept.get_or_init(|| read))))
}

/// A variable or secret of the Worker.
pub(crate) fn variable(env: &Env, name: &str) -> Option<String> {
    js_sys::Reflect::get(env, &name.into()).ok()?.as_string()
}

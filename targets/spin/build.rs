//! The component ships without the names of its functions: they are a seventh of it, and nobody would
//! read them there. (The profile keeps them, because `wasm-bindgen` reads them of the Worker.)

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_FAMILY").as_deref() == Ok("wasm") {
        println!("cargo::rustc-link-arg-cdylib=--strip-all");
    }
}

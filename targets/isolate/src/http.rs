//! Headers and answers, converted between the platform's form and the core's.

use js_sys::{Array, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Headers, Request, Response, ResponseInit};
use writ_core::http;

/// The headers of a request, with the empty string for a value that is not visible ASCII. The platform
/// has joined the values of one name by commas.
#[must_use]
pub fn headers(request: &Request) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    for entry in request.headers().entries().into_iter().flatten() {
        let entry: Array = entry.unchecked_into();
        let text = |index| entry.get(index).as_string().unwrap_or_default();
        let value = text(1);
        let visible = value.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte));
        headers.push((text(0), if visible { value } else { String::new() }));
    }
    headers
}

/// An answer as the platform takes it.
///
/// # Errors
///
/// It does not take it.
pub fn render(answer: &http::Response) -> Result<Response, JsValue> {
    let headers = Headers::new()?;
    for (name, value) in &answer.headers {
        headers.append(name, value)?;
    }
    let init = ResponseInit::new();
    init.set_status(answer.status);
    init.set_headers(&headers);
    let body = (!answer.body.is_empty()).then(|| Uint8Array::from(answer.body.as_slice()));
    Response::new_with_opt_js_u8_array_and_init(body.as_ref(), &init)
}

//! Bodies, read as far as they may go.

use js_sys::futures::JsFuture;
use js_sys::{Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{ReadableStream, ReadableStreamDefaultReader, Request};

/// The body of a request, or its first `most` bytes where it has more.
///
/// # Errors
///
/// It breaks off.
pub async fn whole(request: &Request, most: usize) -> Result<Vec<u8>, JsValue> {
    let length = request.headers().get("content-length")?;
    // The platform holds a body to what its head says, so it can be had in one piece.
    if length.and_then(|length| length.parse().ok()).is_some_and(|length: usize| length <= most) {
        let bytes = JsFuture::from(request.array_buffer()?).await?;
        return Ok(Uint8Array::new(&bytes).to_vec());
    }
    read(request.body(), most).await
}

/// The first `most` bytes of a stream. What comes after them is not read.
///
/// # Errors
///
/// The stream's.
pub async fn read(stream: Option<ReadableStream>, most: usize) -> Result<Vec<u8>, JsValue> {
    let mut body = Vec::new();
    let Some(stream) = stream else { return Ok(body) };
    let reader: ReadableStreamDefaultReader = stream.get_reader().unchecked_into();
    while body.len() < most {
        let step = JsFuture::from(reader.read()).await?;
        let Ok(chunk) = Reflect::get(&step, &"value".into())?.dyn_into::<Uint8Array>() else {
            return Ok(body);
        };
        let room = u32::try_from(most.saturating_sub(body.len())).unwrap_or(u32::MAX);
        body.extend(chunk.subarray(0, chunk.length().min(room)).to_vec());
    }
    // Nobody waits for it: what the other side still sends is its own affair.
    let _ = reader.cancel();
    Ok(body)
}

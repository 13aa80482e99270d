//! Operational messages: one JSON object a line on stderr, for whoever runs the service.
//!
//! What requests did goes elsewhere (`events`). Nothing here names a token, a secret or a person.

use std::io::Write;

use serde_json::{Map, Value};

use crate::moment;

/// Something happened that an operator may want to know.
pub fn info(message: &str, fields: &[(&str, Value)]) {
    line("info", message, fields);
}

/// Something is not as it should be, and the service goes on.
pub fn warn(message: &str, fields: &[(&str, Value)]) {
    line("warn", message, fields);
}

/// Something failed.
pub fn error(message: &str, fields: &[(&str, Value)]) {
    line("error", message, fields);
}

fn line(level: &str, message: &str, fields: &[(&str, Value)]) {
    let mut object = Map::new();
    object.insert("time".into(), moment::now().0.into());
    object.insert("level".into(), level.into());
    object.insert("message".into(), message.into());
    for (name, value) in fields {
        object.insert((*name).into(), value.clone());
    }
    let text = format!("{}\n", Value::Object(object));
    // Where stderr is gone, there is nobody left to tell.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

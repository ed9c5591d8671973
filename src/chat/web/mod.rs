//! The web channel: messages in the store, shown to browsers (room `http/` serves them).

//! Ending with the parent, also when it was killed: its end of our standard input closes then, whoever kills it.

use std::io::Read as _;

/// Ends this process as soon as standard input reaches its end.
pub fn end_with_it() {
    std::thread::spawn(|| {
        let mut buffer = [0_u8; 256];
        loop {
            match std::io::stdin().lock().read(&mut buffer) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        std::process::exit(0);
    });
}

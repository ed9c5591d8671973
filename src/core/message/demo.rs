//! What the demo says.

/// No such fault.
pub fn no_fault(fault: &str, near: Option<&str>) -> String {
    let fault = crate::core::text::capped(fault, 80);
    match near {
        Some(near) => format!("there is no fault `{fault}`; did you mean `{near}`?"),
        None => format!("there is no fault `{fault}`; `mayday demo faults` lists them"),
    }
}

/// A fault was made.
pub fn broken(service: &str, now: &str) -> String {
    format!("{now}. The card for {service} comes within seconds.")
}

/// A fault could not be made.
pub fn not_broken(service: &str, why: &str) -> String {
    format!("{service} was not broken: {why}. Wait until it is healed, then try again.")
}

/// What stands in the terminal once the demo is up.
pub fn welcome(link: &str, data: &str, faults: &[(&str, &str)]) -> String {
    let faults: Vec<String> =
        faults.iter().map(|(name, does)| format!("    mayday demo break {name:6} {does}")).collect();
    format!(
        "Mayday watches a small shop of real processes on this machine.\n\n\
         1. Open this link; it signs you in once and is void after that:\n\n    {link}\n\n\
         2. Break something, with a button on the page or in another terminal:\n\n{}\n\n\
         3. A card comes within seconds. Read what is wrong and what would be done, and press Approve.\n\n\
         Data: {data}\n\
         Ctrl-C ends the demo and everything it started.",
        faults.join("\n")
    )
}

/// The wanted port was taken.
pub fn other_port(wanted: u16, port: u16) -> String {
    format!("Port {wanted} is taken; the demo listens on {port}.")
}

/// The data folder goes with the demo.
pub fn temporary(folder: &str) -> String {
    format!("{folder} (removed at the end; keep one with --data DIR)")
}

/// The demo ends.
pub fn goodbye() -> String {
    "The demo has ended; so has everything it started.".to_owned()
}

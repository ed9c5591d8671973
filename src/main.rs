//! The `mayday` binary: hands over to [`mayday::cli`].

fn main() -> std::process::ExitCode {
    mayday::cli::main()
}

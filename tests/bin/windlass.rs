//! The real program, under a name that cargo lets these tests find.

fn main() -> std::process::ExitCode {
    windlass_broker::main()
}

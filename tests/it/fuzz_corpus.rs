use std::path::Path;

/// The functions that the fuzzer runs; `cargo xtask fuzz` builds the same file.
#[expect(unreachable_pub, reason = "it is a library of its own there")]
#[path = "../fuzz/src/lib.rs"]
mod targets;

#[test]
fn whatever_the_corpus_holds_breaks_nothing() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (name, target) in targets::TARGETS {
        let entries = std::fs::read_dir(corpus.join(name)).expect("every target has a corpus");
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert!(!files.is_empty(), "{name}");
        for file in files {
            println!("{}", file.display());
            target(&std::fs::read(&file).unwrap());
        }
    }
}

#[test]
fn every_target_is_a_program_of_the_fuzzer() {
    let bins = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/src/bin");
    let mut programs: Vec<_> = std::fs::read_dir(bins)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    programs.sort();
    let mut names: Vec<_> = targets::TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    names.sort();
    assert_eq!(programs, names);
}

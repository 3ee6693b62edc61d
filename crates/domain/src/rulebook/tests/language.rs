use proptest::prelude::*;

use super::*;

#[test]
fn the_shipped_rulebook_has_the_seven_rules_and_is_valid() {
    let book = Rulebook::built_in();
    let names: Vec<_> = book.rules().iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "job-failed",
            "first-sync-done",
            "marked-incremental",
            "link-made",
            "exact-unauthorized",
            "exact-buy-orders",
            "config-invalid"
        ]
    );
    assert_eq!(book.version().len(), 12);
    let limit = book.rules()[4].limit.expect("it has one");
    assert_eq!((limit.tenants, limit.per), (10, Duration::from_secs(600)));
    assert!(book.rules().iter().all(|rule| !rule.about.is_empty() && rule.mode == Mode::Live));
}

#[test]
fn an_unknown_name_is_refused_with_rule_line_place_and_the_nearest_right_one() {
    let text =
        "[[rule]]\nname = \"job-failed\"\nwhen = [\n  \"event.failed\",\n  \"event.tennant == '1'\",\n]\n";
    assert_eq!(
        refused(text),
        "line 5, column 4: rule `job-failed`, when line 2: unknown name `event.tennant`; did you mean `event.tenant`?"
    );
    for (line, said) in [
        ("failed", "unknown name `failed`; did you mean `event.failed`?"),
        ("evnt.failed", "unknown name `evnt`; did you mean `event`?"),
        ("event['faild']", "unknown name `event.faild`; did you mean `event.failed`?"),
        ("flow.shedule", "unknown name `flow.shedule`; did you mean `flow.schedule`?"),
        ("tenant.config_vaild", "did you mean `tenant.config_valid`?"),
        ("tenant.schedule.stat == 'x'", "did you mean `tenant.schedule.state`?"),
        ("event.error|leters", "unknown filter `leters`; did you mean `letters`?"),
        ("event.error is definde", "unknown test `definde`; did you mean `defined`?"),
        ("rnge(3)", "unknown function `rnge`; did you mean `range`?"),
        ("zzzzzzzzzz", "known here: event, flow, tenant, payload, now, replayed"),
        ("event.error.lower() == ''", "write it as a filter: `|lower`"),
        ("[1]|map('lowr')", "unknown filter `lowr`"),
        ("event.error|map(event.status)", "needs the name written out"),
        ("event.occurred_at|date('%') == ''", "is not a form of date"),
        ("event.failed and", "when line 1: it can't be read"),
        ("", "it is empty"),
        ("namespace(a=1)", "unknown function"),
    ] {
        let text = format!("[[rule]]\nname = \"r\"\nwhen = [\"{line}\"]\n");
        assert!(refused(&text).contains(said), "{line}: {}", refused(&text));
    }
}

#[test]
fn everything_wrong_with_a_rulebook_is_said_at_once() {
    let text = r#"
[[rule]]
name = "a"
mode = "lve"
on = ["jobs"]
whn = ["x"]
instead_of = ["a", "bb"]
limit = { tenants = 0, per = "soon" }

[[rule.do]]
action = "slak"

[[rule.do]]
action = "slack"
txt = "x"

[[rule.do]]
action = "run_job"
name = "{{ event.tapp }}"

[[rule.do]]
action = "enable_schedule"
of = "sorce"

[[rule]]
name = "a"

[[rule]]
name = ""

[[rule]]
about = 5

[ruel]
"#;
    let said = refused(text);
    for part in [
        "line 4, column 8: rule `a`, unknown mode `lve`; did you mean `live`?",
        "line 5, column 7: rule `a`, unknown kind `jobs`; did you mean `job`?",
        "line 6, column 1: rule `a`, unknown name `whn`; did you mean `when`?",
        "rule `a`, instead_of: a rule can't silence itself",
        "unknown rule `bb`; no rule has this name",
        "`tenants` is a whole number of at least 1",
        "`soon` is not a length of time",
        "rule `a`, step 1: unknown action `slak`; did you mean `slack`?",
        "rule `a`, step 2 (slack): unknown name `txt`; did you mean `text`?",
        "rule `a`, step 2 (slack) needs `text`",
        "rule `a`, step 3 (run_job) name: unknown name `event.tapp`; did you mean `event.tap`?",
        "rule `a`, step 4 (enable_schedule): unknown schedule `sorce`; did you mean `source`?",
        "there are two rules named `a`",
        "rule 3 needs a name: this one is empty",
        "rule 4 needs a name",
        "`about` is a text in quotes, not a number",
        "unknown name `ruel`; did you mean `rule`?",
    ] {
        assert!(said.contains(part), "{part}\nin\n{said}");
    }
}

#[test]
fn text_that_is_no_toml_is_refused_with_its_place() {
    assert!(refused("[[rule]\nname = 5").starts_with("line 1"), "{}", refused("[[rule]\nname = 5"));
}

#[test]
fn the_place_of_a_mistake_in_a_text_of_several_lines_is_its_own_line() {
    let text = "[[rule]]\nname = \"r\"\n[[rule.do]]\naction = \"slack\"\ntext = \"\"\"\nhello\n{{ event.tap }} {{ event.tpa }}\n\"\"\"\n";
    assert!(
        refused(text).starts_with("line 7, column 20: rule `r`, step 1 (slack) text:"),
        "{}",
        refused(text)
    );
}

#[test]
fn rules_that_silence_each_other_in_a_circle_are_refused() {
    let text = "[[rule]]\nname='a'\ninstead_of=['b']\n[[rule]]\nname='b'\ninstead_of=['c']\n[[rule]]\nname='c'\ninstead_of=['a']\n";
    assert!(refused(text).contains("`b` leads back to `a`"), "{}", refused(text));
}

#[test]
fn names_bound_in_a_text_are_known_there_and_nowhere_else() {
    let text = "{% set x = event.tap %}{% for a, b in {'k': 1}|items %}{{ x }}{{ a }}{{ b }}{{ loop.index }}{% endfor %}{% with y = 2 %}{{ y }}{% endwith %}";
    assert_eq!(told(text), "salesforcek112");
    assert!(refused(&slack("{% for a in [1] %}{% endfor %}{{ a }}")).contains("unknown name `a`"));
    assert!(refused(&slack("{% with y = 2 %}{% endwith %}{{ y }}")).contains("unknown name `y`"));
}

#[test]
fn what_could_define_code_is_not_available() {
    for (text, word) in [
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "macro"),
        ("{% include 'x' %}", "include"),
        ("{% import 'x' as y %}", "import"),
        ("{% block x %}{% endblock %}", "block"),
    ] {
        let said = refused(&slack(text));
        assert!(said.contains(&format!("`{{% {word} %}}` is not available in a rule")), "{said}");
    }
}

#[test]
fn an_endless_loop_ends_with_a_sentence() {
    assert!(
        broken("{% for i in range(1000000000) %}x{% endfor %}")
            .contains("`range` gives at most 10000 numbers")
    );
    let nested = "{% for i in range(9999) %}{% for j in range(9999) %}{% for k in range(9999) %}{{ i }}{% endfor %}{% endfor %}{% endfor %}";
    let said = broken(nested);
    assert!(said.contains("rule `r`, step 1 (slack): it was stopped after 20000 steps"), "{said}");
}

#[test]
fn nothing_small_makes_something_huge() {
    for text in ["{{ 'x' * 1000000000 }}", "{{ event.tap * 1000000 }}", "{{ 1000 * event.failed_records }}"] {
        assert!(refused(&slack(text)).contains("`*` is for numbers only"), "{text}");
    }
    assert_eq!(told("{{ (event.tap|length) * 2 }}"), "20");
    let doubling = format!("{{% set a = event.error %}}{}{{{{ a }}}}", "{% set a = a ~ a %}".repeat(40));
    assert!(refused(&slack(&doubling)).contains("joins more than 64 values"));
    let nested = "{% for a in [event.tap] %}".to_owned()
        + &"{% for a in [a ~ a] %}".repeat(30)
        + "{{ a }}"
        + &"{% endfor %}".repeat(31);
    assert!(refused(&slack(&nested)).contains("joins more than 64 values"));
    for text in [
        "{{ 'aaaaaaaaaaaaaaaaaaaa'|indent(1000000000) }}",
        "{{ '%1000000000d'|format(1) }}",
        "{{ [1]|batch(1000000000, 'x')|list }}",
        "{{ [1]|slice(1000000000)|list }}",
        "{{ range(10000)|join('-----------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------') }}",
    ] {
        assert!(broken(text).contains("it makes more than 4 MiB of text"), "{text}: {}", broken(text));
    }
    assert!(broken("{{ [1]|tojson(indent=1000000) }}").contains("at most 8"));
    assert!(
        broken("{% for i in range(2000) %}{{ event.error }}{{ event.error }}{% endfor %}")
            .contains("longer than 32 KiB")
    );
    let captured = "{% set y = event.error ~ event.error ~ event.error ~ event.error %}{% set x %}{% for i in range(2000) %}{{ y }}{% endfor %}{% endset %}{{ x[:1] }}";
    assert!(broken(captured).contains("longer than 32 KiB"), "{}", broken(captured));
}

#[test]
fn deep_nesting_is_refused_and_does_not_overflow_the_stack() {
    let deep = |inner: &str, times: usize| {
        let text = format!("[[rule]]\nname = \"r\"\nwhen = [\"{}\"]\n", inner.repeat(times));
        Rulebook::parse(&text).map(|_| ()).expect_err("refused")
    };
    for (inner, times) in [
        ("(", 4000),
        ("1+", 2000),
        ("not ", 1000),
        ("-", 4000),
        ("[", 4000),
        ("event|e", 500),
        ("2**", 1300),
        ("1 if 1 else ", 300),
        ("a.", 1300),
        ("a[", 1000),
        ("f(", 1000),
        ("a|f(", 900),
        ("{1:", 1000),
        ("1 is not ", 400),
        ("1<", 2000),
        ("1 in ", 800),
        ("'a'~", 1000),
        ("1 or ", 800),
    ] {
        assert!(!deep(inner, times).is_empty());
    }
    let chain = format!("1{}", "+1".repeat(2000));
    let text = format!("[[rule]]\nname = \"r\"\nwhen = [\"{chain}\"]\n");
    assert!(refused(&text).contains("nested more than 120 deep"));
    let dotted = format!("[[rule]]\nname = \"r\"\nwhen = [\"payload{}\"]\n", ".a".repeat(2000));
    assert!(refused(&dotted).contains("nested more than 120 deep"));
    let long = format!("{{{{ 1{} }}}}", "+1".repeat(4080));
    assert!(refused(&slack(&long)).contains("nested more than 120 deep"));
    assert!(refused(&slack(&"{% if true %}".repeat(600))).contains("step 1 (slack) text"));
}

#[test]
fn values_in_slack_texts_make_no_mentions_and_authors_do() {
    assert_eq!(told("<!here> {{ event.error }}"), "<!here> boom &lt;!channel&gt; &amp; more");
    assert_eq!(told("{{ event.error|safe }}"), "boom <!channel> & more");
    assert_eq!(told("{% set x %}{{ event.error }}{% endset %}{{ x }}"), "boom &lt;!channel&gt; &amp; more");
    assert_eq!(told("{{ event.error ~ '<' ~ [event.error]|join('>') }}").matches('<').count(), 0);
    assert_eq!(told("{{ payload.error|upper }}"), "BOOM &lt;!CHANNEL&gt; &amp; MORE");
}

#[test]
fn no_value_ends_a_block_of_code() {
    for run in ["```", "````", "``````"] {
        let text = told(&format!("```\n{{{{ 'a{run}b' }}}}\n```"));
        assert_eq!(text.matches("```").count(), 2, "{text:?}");
        assert_eq!(text.matches('`').count(), 6 + run.len(), "nothing is lost: {text:?}");
    }
    assert_eq!(told("{{ '`a` ``b``' }}"), "`a` ``b``");
}

#[test]
fn names_of_jobs_are_not_escaped() {
    let text = "[[rule]]\nname='r'\n[[rule.do]]\naction='run_job'\nname='a&{{ event.error }}'\n";
    let plan = decided(&book(text), &failed_job(), &Facts::default());
    assert!(describe(&plan.steps[0]).contains("a&boom <!channel> & more of salesforce"), "{plan:?}");
}

#[test]
fn filters_of_our_own() {
    assert_eq!(told("{{ 'fullsync'|letters }}"), "62112121925143");
    assert_eq!(told("{{ '\n  one \ntwo'|first_line }}"), "one");
    assert_eq!(told("{{ '2024-10-07T23:50:28+02:00'|date }} {{ 0|date('%Y') }}"), "20241007 1970");
    assert_eq!(told("{{ event.occurred_at|date('%Y-%m-%dT%H:%M') }}"), "2024-12-31T00:00");
    assert!(broken("{{ event.tap|date }}").contains("`date` takes a time such as event.occurred_at"));
}

#[test]
fn dividing_by_zero_is_no_panic() {
    assert_eq!(told("{{ 4 is divisibleby(0) }} {{ 4 is divisibleby(2) }}"), "False True");
    for zero in ["{{ 4 % 0 }}", "{{ 4 // 0 }}"] {
        assert!(!broken(zero).is_empty(), "{zero}");
    }
}

#[test]
fn what_is_not_there_is_named() {
    let said = broken("{{ payload.metrics.nope }}");
    assert!(said.contains("not there") && said.contains("payload.metrics"), "{said}");
    let text = "[[rule]]\nname='r'\nwhen=['payload.nope']\n";
    let verdict = only_verdict(&book(text), &failed_job(), &Facts::default());
    assert!(matches!(verdict, Verdict::NotHeld { line: 1, why: Some(_) }), "{verdict:?}");
}

proptest! {
    #[test]
    fn any_text_is_a_rulebook_or_refused(text in "\\PC{0,60}", line in "\\PC{0,40}") {
        let _ = Rulebook::parse(&text);
        let _ = Rulebook::parse(&slack(&line));
        let _ = Rulebook::parse(&format!("[[rule]]\nname='r'\nwhen=['''{line}''']\n"));
    }
}

"""Policy files: read and evaluated as oslo.policy itself does, over generated rules, callers and resources."""

import json
import random
import subprocess

import yaml
from oslo_config import cfg
from oslo_policy import _parser, policy

import pumice as harness

WORDS = ["admin", "member", "Reader", "x"]


def a_check(random, names):
    kind = random.randrange(10)
    if kind == 0:
        return random.choice(["@", "!"])
    if kind in (1, 2, 3):
        return "role:" + random.choice(WORDS + ["%(project_id)s"])
    if kind == 4 and names:
        return "rule:" + random.choice(names + ["missing"])
    left = random.choice(
        ["project_id", "user_id", "is_admin", "nothing", "None", "True", "'p1'", '"p2"', "7", "user.domain.id", "list.id", "projects"]
    )
    right = random.choice(["%(project_id)s", "p1", "p2", "True", "False", "None", "7", "a%(project_id)sb", "100%%", "d1", "", "x:y"])
    return f"{left}:{right}"


def a_rule(random, names, depth=0):
    """A valid rule, with as many blanks and parentheses as people write."""
    kind = random.randrange(6)
    if depth > 4 or kind < 2:
        return a_check(random, names)
    if kind == 2:
        return random.choice(["not ", "NOT  "]) + a_single(random, names, depth)
    joint = random.choice([" and ", " or ", " AND ", "  or  "])
    parts = [a_rule(random, names, depth + 1) for _ in range(random.randrange(2, 4))]
    joined = joint.join(parts)
    return f"({joined})" if random.random() < 0.5 else joined


def a_single(random, names, depth):
    return random.choice([a_check(random, names), "(" + a_rule(random, names, depth + 1) + ")"])


def the_former_syntax(random):
    return [[a_check(random, []) for _ in range(random.randrange(0, 3))] for _ in range(random.randrange(0, 4))]


def a_caller(random):
    return {
        "user_id": random.choice(["u1", "p1"]),
        "project_id": random.choice(["p1", "p2"]),
        "roles": random.sample(["ADMIN", "member", "reader", "p1", "x"], random.randrange(0, 4)),
        "is_admin": random.random() < 0.3,
        "is_admin_project": True,
        "system_scope": None,
        "domain_id": None,
        "nothing": random.choice([None, 7, "None"]),
        "user": {"domain": {"id": random.choice(["d1", "d2"])}},
        "list": random.choice([[], [{"id": "d1"}, {"id": "p1"}]]),
        "projects": random.choice([[], ["p1", "p2"]]),
    }


def checked(folder, rules, *options):
    """What `pumice policy check` says of these rules."""
    file = folder / "policy.yaml"
    file.write_text(yaml.safe_dump(rules))
    return subprocess.run(
        [harness.BINARY, "policy", "check", "--file", file, *options], capture_output=True, text=True, timeout=60
    )


def test_generated_rules_are_as_oslo_policy_has_them(tmp_path):
    chance = random.Random(7)
    rules, names = {}, []
    for number in range(400):
        name = f"r{number}"
        # Former ones only: rules in a circle are refused.
        rules[name] = the_former_syntax(chance) if number % 20 == 0 else a_rule(chance, names)
        names.append(name)
    enforcer = policy.Enforcer(cfg.ConfigOpts(), use_conf=False)
    enforcer.set_rules(policy.Rules({name: _parser.parse_rule(rule) for name, rule in rules.items()}), use_conf=False)
    allowed = 0
    for _ in range(40):
        caller = a_caller(chance)
        target = chance.choice([{"project_id": "p1"}, {"project_id": "p2"}, {"project_id": None}, {}])
        ours = checked(tmp_path, rules, "--json", "--caller", json.dumps(caller), "--target", json.dumps(target))
        assert ours.returncode == 0, ours.stderr
        ours = json.loads(ours.stdout)
        for name, rule in rules.items():
            theirs = bool(enforcer.enforce(name, target, caller))
            assert ours[name] == theirs, (rule, caller, target)
            allowed += theirs
    assert 2000 < allowed < 14000, allowed


def oslo_reads(rule):
    state = _parser.ParseState()
    for token in _parser._parse_tokenize(rule):
        state.shift(token)
    try:
        return not isinstance(state.result, str)
    except ValueError:
        return False


def test_what_oslo_policy_cannot_read_is_refused(tmp_path):
    chance = random.Random(11)
    tokens = ["(", ")", "and", "or", "not", "@", "!", "role:a", "(role:b", "role:c)", "'quoted'"]
    rules = {}
    for number in range(500):
        rules[f"r{number}"] = " ".join(chance.choice(tokens) for _ in range(chance.randrange(1, 8)))
    ours = checked(tmp_path, rules)
    assert ours.returncode == 1
    refused = {line.split(": ")[2] for line in ours.stderr.splitlines()}
    unread = {name for name, rule in rules.items() if not oslo_reads(rule)}
    assert refused == unread, {name: rules[name] for name in refused ^ unread}
    assert 100 < len(unread) < 480, len(unread)


def test_a_faulty_policy_file_is_refused_and_the_list_is_a_policy_file(tmp_path):
    listed = subprocess.run([harness.BINARY, "policy", "list"], capture_output=True, text=True, check=True, timeout=60)
    # Without the comments it is a policy file with everything as by default.
    text = "\n".join(line[1:] for line in listed.stdout.splitlines() if line.startswith('#"'))
    rules = yaml.safe_load(text)
    assert len(rules) > 160 and rules["volume:create"] == "rule:xena_system_admin_or_project_member"
    for roles, rule, allowed in [
        ("member", "volume:create", True),
        ("reader", "volume:create", False),
        ("member", "volume_extension:type_create", False),
        ("admin", "volume_extension:type_create", True),
    ]:
        asked = checked(tmp_path, rules, "--roles", roles, rule)
        assert (asked.returncode == 0) == allowed, asked.stdout
    theirs = checked(tmp_path, rules, "--roles", "member", "--project", "mine", "--of", "theirs", "volume:create")
    assert (theirs.returncode, theirs.stdout) == (1, "volume:create: denied\n")

    config = tmp_path / "pumice.toml"
    file = tmp_path / "policy.yaml"
    file.write_text("'volume:create': 'role:creator and'\n")
    config.write_text(f"[node]\ndata_dir = '{tmp_path}/data'\n[auth]\npolicy_file = '{file}'\n")
    checked_config = subprocess.run([harness.BINARY, "check-config", config], capture_output=True, text=True, timeout=60)
    assert checked_config.returncode != 0
    assert "volume:create: it ends where a check should be" in checked_config.stdout + checked_config.stderr

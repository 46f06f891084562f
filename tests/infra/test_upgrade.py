"""An environment that 0.1.0 applied: its resources have other addresses now, and a plan changes nothing but those."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from docs._terraform_tables import blocks
from tests.support.aws_stack import AppliedStack
from tests.support.project import PROJECT

MODULES = PROJECT / "terraform" / "modules"
STACK = PROJECT / "terraform" / "inference_pipeline"

OF_TASK = (
    "aws_ecs_task_definition.this",
    "aws_cloudwatch_log_group.this",
    "aws_iam_role.task",
    "aws_iam_role_policy_attachment.task",
    "aws_iam_role.execution",
    "aws_iam_policy.execution",
    "aws_iam_role_policy_attachment.execution",
)
OF_SERVICE = (
    "aws_security_group.this",
    "aws_vpc_security_group_egress_rule.endpoints",
    "aws_vpc_security_group_egress_rule.gateways",
    "aws_vpc_security_group_egress_rule.other",
    "aws_ecs_service.this",
)
#: The resources of 0.1.0 that are elsewhere now, by the module that had them.
OF_0_1_0 = {"consumer_task": OF_TASK, "consumer_service": OF_SERVICE, "gateway": OF_TASK + OF_SERVICE}
#: Resources of the gateway that had no key, as it has one container and one policy.
WITHOUT_KEY = ("aws_cloudwatch_log_group.this", "aws_iam_role_policy_attachment.task")
#: Where they are now: `consumer["0"].module.service`, `gateway[0].module.service`.
SERVICE_MODULE = re.compile(r"(.*module)\.(consumer|gateway)\[([^]]+)\]\.module\.service")


def test_every_resource_that_0_1_0_had_elsewhere_has_a_moved_block() -> None:
    of_consumer = [
        *OF_0_1_0["consumer_task"],
        *(f"module.consumer_service.{one}" for one in OF_0_1_0["consumer_service"]),
    ]
    assert set(moves(MODULES / "consumer")) == set(of_consumer)
    assert set(moves(MODULES / "gateway")) == set(OF_0_1_0["gateway"])


def test_every_moved_block_leads_to_a_resource_of_the_same_name() -> None:
    resources = {".".join(resource.labels) for resource in blocks(MODULES / "ecs_service", "resource")}
    for module in ("consumer", "gateway"):
        for old, new in moves(MODULES / module).items():
            target = new.removeprefix("module.service.")
            assert target.removesuffix('["gateway"]') == old.removeprefix("module.consumer_service.")
            assert target.removesuffix('["gateway"]') in resources


def test_the_modules_of_every_cell_that_there_may_be_are_moved() -> None:
    (cells,) = (one for one in blocks(STACK, "variable") if one.labels == ("cells",))
    assert (most := re.search(r"var\.cells <= (\d+)", cells.body))
    assert moves(STACK) == {"module.consumer_task": "module.consumer"} | {
        f'module.consumer_service["{cell}"]': f'module.consumer["{cell}"].module.consumer_service'
        for cell in range(int(most[1]))
    }


def test_a_plan_on_the_state_of_0_1_0_moves_resources_and_changes_none(
    applied_stack: AppliedStack, tmp_path: Path
) -> None:
    terraform = applied_stack.terraform
    state = json.loads((terraform.folder / "terraform.tfstate").read_text("utf-8"))
    moved = sum(as_of_0_1_0(resource) for resource in state["resources"] if resource["mode"] == "managed")
    # Consumers and gateway have all of them but the rule for other addresses, which the example does not name.
    assert moved == len(OF_0_1_0["gateway"]) * 2 - 2
    (old_state := tmp_path / "old.tfstate").write_text(json.dumps(state), "utf-8")
    terraform.run("plan", "-refresh=false", f"-state={old_state}", f"-out={tmp_path / 'plan'}")
    plan = json.loads(terraform.run("show", "-json", str(tmp_path / "plan")))
    changes = [change for change in plan["resource_changes"] if change["mode"] == "managed"]
    assert {one["address"]: one["change"]["actions"] for one in changes if one["change"]["actions"] != ["no-op"]} == {}
    previous = {one["previous_address"] for one in changes if "previous_address" in one}
    assert {re.sub(r"\[[^]]*\]$", "", one) for one in previous} == {
        f"module.inference_pipeline.module.{module}.{resource}"
        for module, resources in {
            'consumer_task["0"]': OF_TASK,
            'consumer_service["0"]': OF_SERVICE,
            "gateway[0]": OF_TASK + OF_SERVICE,
        }.items()
        for resource in resources
        if not resource.endswith(".other")
    }


def as_of_0_1_0(resource: dict[str, Any]) -> bool:
    """Give a resource of a state the address that 0.1.0 gave it; whether it had another."""
    name = f"{resource['type']}.{resource['name']}"
    found = SERVICE_MODULE.fullmatch(resource.get("module", ""))
    if not found:
        return False
    stack, module, key = found.groups()
    old_module = module if module == "gateway" else "consumer_task" if name in OF_TASK else "consumer_service"
    if name not in OF_0_1_0[old_module]:
        return False  # it has come since
    resource["module"] = f"{stack}.{old_module}[{key}]"
    if module == "gateway" and name in WITHOUT_KEY:
        (instance,) = resource["instances"]
        del instance["index_key"]
    return True


def moves(folder: Path) -> dict[str, str]:
    """The moved blocks of a module, `from` and `to`."""
    return {block.attributes["from"]: block.attributes["to"] for block in blocks(folder, "moved")}

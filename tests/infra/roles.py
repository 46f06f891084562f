"""Who may do what, as applied: the policies of each role, read from Terraform's state."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .iam import Document

Resource = dict[str, Any]

#: Roles that people attach themselves to what they run; the others are roles of what Terraform makes.
STANDALONE = ("producer", "operator")
TASKS = ("consumer", "gateway")
FUNCTIONS = ("backlog-metrics", "dead-letters", "webhooks")


@dataclass(frozen=True, slots=True)
class Roles:
    """Policies in a state's resources."""

    resources: Sequence[Resource]
    prefix: str

    def documents(self) -> dict[str, list[Document]]:
        """Policies by role: producer, operator, consumer and gateway with their execution roles, and the functions' names."""
        tasks = {name: self._task(name) for name in TASKS}
        functions = {values["function_name"]: values["role"] for values in self._values("aws_lambda_function")}
        found = {name: [self._policy("name", f"{self.prefix}-{name}")] for name in STANDALONE}
        for name, task in tasks.items():
            found[name] = self._of_role(task["task_role_arn"])
            found[f"{name}-execution"] = self._of_role(task["execution_role_arn"])
        for name in FUNCTIONS:
            found[name] = self._of_role(functions[f"{self.prefix}-{name}"])
        return found

    def all_policies(self) -> dict[str, Document]:
        """Every identity policy, by the address of its resource."""
        return {
            resource["address"]: json.loads(resource["values"]["policy"])
            for resource in self.resources
            if resource["type"] in ("aws_iam_policy", "aws_iam_role_policy")
        }

    def _task(self, name: str) -> Any:
        (values,) = self._values("aws_ecs_task_definition", family=f"{self.prefix}-{name}")
        return values

    def _of_role(self, arn: str) -> list[Document]:
        """A role's inline policies and attached ones. Raises ValueError for a policy that Terraform does not make."""
        name = arn.rpartition("/")[2]
        inline = [json.loads(values["policy"]) for values in self._values("aws_iam_role_policy", role=name)]
        attached = [values["policy_arn"] for values in self._values("aws_iam_role_policy_attachment", role=name)]
        return inline + [self._policy("arn", policy) for policy in attached]

    def _policy(self, key: str, value: str) -> Document:
        (values,) = self._values("aws_iam_policy", **{key: value})
        document: Document = json.loads(values["policy"])
        return document

    def _values(self, kind: str, **wanted: str) -> list[Resource]:
        return [
            resource["values"]
            for resource in self.resources
            if resource["type"] == kind and all(resource["values"].get(key) == value for key, value in wanted.items())
        ]

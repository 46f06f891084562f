mock_provider "aws" {
  source = "../mocks"
}

variables {
  cluster_name     = "prod"
  service_name     = "prod-consumer"
  metric_namespace = "InferenceEngine"
  deployment       = "prod"
  scaling = {
    min_capacity               = 0
    max_capacity               = 8
    target_backlog_seconds     = 45
    scale_in_cooldown_seconds  = 300
    scale_out_cooldown_seconds = 60
    wake_tasks                 = 2
    schedules                  = {}
  }
}

run "between_one_and_the_most_by_backlog" {
  module {
    source = "../modules/autoscaling"
  }

  assert {
    condition = output.target == {
      resource_id = "service/prod/prod-consumer", min_capacity = 0, max_capacity = 8
    }
    error_message = "The service's tasks are scaled between the limits."
  }

  assert {
    condition     = aws_appautoscaling_policy.backlog.target_tracking_scaling_policy_configuration[0].target_value == 45
    error_message = "Each task is to have 45 seconds of work before it."
  }

  assert {
    condition = alltrue([
      for metric in aws_appautoscaling_policy.backlog.target_tracking_scaling_policy_configuration[0].customized_metric_specification :
      metric.namespace == "InferenceEngine" && metric.metric_name == "BacklogSecondsPerDesiredTask"
      && [for dimension in metric.dimensions : "${dimension.name}=${dimension.value}"] == ["Deployment=prod"]
    ])
    error_message = "Target tracking follows the backlog of this deployment, by desired task."
  }
}

run "from_zero_by_a_step" {
  module {
    source = "../modules/autoscaling"
  }

  assert {
    condition = alltrue([
      for step in aws_appautoscaling_policy.wake[0].step_scaling_policy_configuration :
      step.adjustment_type == "ExactCapacity" && tolist(step.step_adjustment)[0].scaling_adjustment == 2
    ])
    error_message = "The step goes to exactly as many tasks as asked for."
  }

  assert {
    condition = (
      aws_cloudwatch_metric_alarm.wake[0].metric_name == "RequiresConsumer" && aws_cloudwatch_metric_alarm.wake[0].threshold == 1
      && aws_cloudwatch_metric_alarm.wake[0].evaluation_periods == 1 && aws_cloudwatch_metric_alarm.wake[0].comparison_operator == "GreaterThanOrEqualToThreshold"
      && tolist(aws_cloudwatch_metric_alarm.wake[0].alarm_actions) == tolist([aws_appautoscaling_policy.wake[0].arn])
    )
    error_message = "One measurement that says so wakes the fleet, for one message as for many."
  }
}

run "a_fleet_that_sleeps_by_the_clock_is_woken_too" {
  command = plan

  module {
    source = "../modules/autoscaling"
  }

  variables {
    scaling = {
      min_capacity               = 2
      max_capacity               = 8
      target_backlog_seconds     = 45
      scale_in_cooldown_seconds  = 300
      scale_out_cooldown_seconds = 60
      wake_tasks                 = 1
      schedules = {
        morning = { schedule = "cron(0 8 ? * MON-FRI *)", timezone = "Europe/Berlin", min_capacity = 2, max_capacity = 8 }
        evening = { schedule = "cron(0 20 ? * MON-FRI *)", timezone = "Europe/Berlin", min_capacity = 0, max_capacity = 1 }
      }
    }
  }

  assert {
    condition     = length(aws_appautoscaling_policy.wake) == 1 && length(aws_cloudwatch_metric_alarm.wake) == 1
    error_message = "Whoever posts at night would wait until the morning."
  }
}

run "a_schedule_without_any_task" {
  command = plan

  module {
    source = "../modules/autoscaling"
  }

  variables {
    scaling = {
      min_capacity               = 0
      max_capacity               = 8
      target_backlog_seconds     = 45
      scale_in_cooldown_seconds  = 300
      scale_out_cooldown_seconds = 60
      wake_tasks                 = 1
      schedules = {
        evening = { schedule = "cron(0 20 ? * MON-FRI *)", timezone = "UTC", min_capacity = 0, max_capacity = 0 }
      }
    }
  }

  expect_failures = [var.scaling]
}

run "a_fleet_that_never_sleeps_is_not_woken" {
  module {
    source = "../modules/autoscaling"
  }

  variables {
    scaling = {
      min_capacity               = 1
      max_capacity               = 8
      target_backlog_seconds     = 45
      scale_in_cooldown_seconds  = 300
      scale_out_cooldown_seconds = 60
      wake_tasks                 = 1
      schedules = {
        morning = { schedule = "cron(0 8 ? * MON-FRI *)", timezone = "Europe/Berlin", min_capacity = 4, max_capacity = 8 }
      }
    }
  }

  assert {
    condition     = length(aws_appautoscaling_policy.wake) == 0 && length(aws_cloudwatch_metric_alarm.wake) == 0 && output.wake_alarm_name == null
    error_message = "Without zero there is no step from it."
  }

  assert {
    condition     = aws_appautoscaling_scheduled_action.this["morning"].scalable_target_action[0].min_capacity == "4" && aws_appautoscaling_scheduled_action.this["morning"].timezone == "Europe/Berlin"
    error_message = "The schedule changes the limits."
  }
}

"""What simulated fleets have in common, and the two suites that simulate them.

* `clock`: virtual time, for planned events and for the library's own coroutines.
* `labels`, `arrivals`, `traces`: which label is requested next; when jobs arrive on their own; when producers post that wait for
  their results.
* `aws`: SQS and DynamoDB in memory, behind the library's own transport.
* `simulate`: large fleets of the library's own consumers and producers, for minutes. `make bench ARGS=simulate`
* `scaling`: a day of autoscaling, whose tasks are modelled, placed by the library's own rules. `make bench ARGS=scaling`

The words are those of the library: a *holder* is a consumer (in `scaling`, a task) that holds a label; an *arrival* is a job that
somebody posts; a *lane* is a message group of a label's queue; an *in-flight message* was received and has not ended.
"""

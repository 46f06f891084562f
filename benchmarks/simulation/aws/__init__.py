"""SQS and DynamoDB in memory, behind the library's own transport."""

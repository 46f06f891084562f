from ..single_queue import DynamoDBClient as DynamoDBClient

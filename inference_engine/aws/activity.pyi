from ..operations.activity import read_activity as read_activity

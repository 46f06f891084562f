from ..dead_letters.handler import DeadLetterHandler

DeadLetters = DeadLetterHandler

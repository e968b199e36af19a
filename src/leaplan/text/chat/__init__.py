"""A client for any server that is compatible with OpenAI's chat completions: nothing is asked or paid for twice."""

from leaplan.text.chat.client import Chat
from leaplan.text.chat.messages import Answer, ChatSettings, Failed, Request, Usage, request_hash
from leaplan.text.chat.prices import Estimate

__all__ = ["Answer", "Chat", "ChatSettings", "Estimate", "Failed", "Request", "Usage", "request_hash"]

"""Notices: recipients of documents are told of erasures and restrictions (Art. 19 GDPR), each once."""

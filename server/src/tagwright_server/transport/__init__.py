"""The only room that knows grpc and the generated messages: calls come in here and errors become statuses here."""

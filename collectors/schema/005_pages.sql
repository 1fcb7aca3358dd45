-- A whole page of REST can be refused, too: with the question that it answers, it can be read again.
comment on column rejects.context is
'What is needed to read it again: of a line its file and columns, of a page of REST its question, and the clock when it was asked';
comment on column rejects.payload is 'The line, row, message or page as received (cut when very long)';

package xs2a_test

// mt940Rows are inputs of one format; see fieldRow.
var mt940Rows = []fieldRow{}

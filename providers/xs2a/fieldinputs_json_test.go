package xs2a_test

// jsonRows are inputs of one format; see fieldRow.
var jsonRows = []fieldRow{}

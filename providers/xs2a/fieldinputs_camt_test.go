package xs2a_test

// camtRows are inputs of one format; see fieldRow.
var camtRows = []fieldRow{}

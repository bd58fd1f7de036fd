package notify

var Sign = sign

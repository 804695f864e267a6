package zkcompat

// Commands are those that a Server answers.
var Commands = commands

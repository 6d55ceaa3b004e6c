const dotenv = require('dotenv');
module.exports = async () => dotenv.parse('A=1 # note\nB="two words"\nexport C="x\\ny"\nD=\'a#b\'\nEMPTY=\n# E=5\n');

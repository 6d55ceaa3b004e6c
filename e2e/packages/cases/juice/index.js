module.exports = async () => require('juice')('<style>.a{color:red}</style><p class="a">x</p>');

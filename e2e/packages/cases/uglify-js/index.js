module.exports = async () => require('uglify-js').minify('function f(number) { return number + 1; }').code;

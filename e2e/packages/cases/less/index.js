module.exports = async () => (await require('less').render('.w(@n) { width: @n * 10px } .a { .b { .w(3) } }')).css;

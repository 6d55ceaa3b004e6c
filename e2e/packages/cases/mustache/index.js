module.exports = async () => require('mustache').render('Hi {{n}} {{{n}}}: {{#l}}{{.}},{{/l}}{{^x}} none{{/x}}', { n: '<b>', l: [1, 2], x: [] });

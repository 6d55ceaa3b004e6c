module.exports = async () => require('ejs').render('<% for (const x of l) { -%>\n<li><%= x %></li><% } %>', { l: ['<1>', 2] }).replaceAll('\n', '');

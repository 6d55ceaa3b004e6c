const md = require('markdown-it')({ linkify: true, typographer: true });
module.exports = async () => md.render('*a* http://x.ch "q" <b>');

const Turndown = require('turndown');
module.exports = async () => new Turndown({ headingStyle: 'atx' }).turndown('<h1>T</h1><ul><li><b>a</b></li><li><a href="/x">b</a></li></ul>');

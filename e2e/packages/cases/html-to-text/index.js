const { convert } = require('html-to-text');
module.exports = async () => convert('<h1>Title</h1><p>a <a href="https://x.ch">link</a></p><ul><li>one</li><li>two</li></ul>');

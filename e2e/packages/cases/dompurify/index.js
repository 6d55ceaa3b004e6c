const { JSDOM } = require('jsdom');
const purify = require('dompurify')(new JSDOM('').window);
module.exports = async () => purify.sanitize('<p>a<img src=x onerror=alert(1)></p><svg><script>1</script></svg><a href="javascript:x">c</a>');

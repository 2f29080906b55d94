// The link that the first start prints carries the token behind `#`: browsers send that part to no server.
"use strict";
{
  const token = decodeURIComponent(location.hash.slice(1));
  if (token) {
    history.replaceState(null, "", location.pathname);
    const form = document.querySelector("form");
    form.elements.token.value = token;
    form.submit();
  }
}
